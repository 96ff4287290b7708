"""MLflow: the only folder that imports it. `recorder` writes runs, `views` saved views, `server` serves the UI."""
