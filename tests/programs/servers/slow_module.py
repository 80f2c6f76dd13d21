"""A module that takes its time to be imported, as those do that read files or connect to servers."""

import time

time.sleep(0.3)  # blocks: import
