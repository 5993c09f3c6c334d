"""The local web page of `colorjax serve`: colorizes and corrects photos in the browser."""
