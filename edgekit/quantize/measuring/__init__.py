"""What a model does on real values: ranges, outliers, mean shifts."""
