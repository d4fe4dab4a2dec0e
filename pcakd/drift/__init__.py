"""How far a dataset has moved since it was looked at before: in its photos, and in the eigenbases fitted on them."""
