"""From the options of a user to a job whose first step can be explained."""
