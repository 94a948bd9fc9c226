"""Show results to people: values in, text out."""
