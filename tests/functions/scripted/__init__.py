"""The app's own orchestrators over activities that follow a script: for histories (`tests.functions.record`)."""
