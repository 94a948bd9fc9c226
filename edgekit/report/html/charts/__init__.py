"""One chart a file: values in, a drawing out."""
