"""Sessions and supervision records: the rooms of the counselling dialect."""
