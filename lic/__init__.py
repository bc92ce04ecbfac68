"""What no paper should have to know: the slice loops, coding, files, pictures, training, measuring, the command line."""
