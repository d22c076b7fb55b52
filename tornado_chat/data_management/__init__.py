"""What an operator does with the data of people: removing what is old, exporting and erasing a person."""
