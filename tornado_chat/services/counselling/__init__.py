"""The rooms of the counselling dialect: sessions and supervision records."""
