"""What the page in the browser asks of Prefect, MLflow and the registry."""
