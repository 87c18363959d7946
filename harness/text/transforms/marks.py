"""Space, line ends, Unicode forms, quotation marks: what surrounds the words."""
