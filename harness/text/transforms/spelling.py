"""American and British spelling."""
