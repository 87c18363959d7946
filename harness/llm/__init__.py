"""Language models over an OpenAI-compatible endpoint: what is asked, how, what came back, and what it costs."""
