"""A made-up ICS with known truth: so far its people, places, activity and the truth of a row; not yet its extracts."""
