"""What commands show: functions from orders to lines of text."""
