"""Many runs next to each other: a row for each, groups of them, and what differs between them."""
