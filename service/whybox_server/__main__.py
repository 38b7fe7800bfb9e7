"""`python -m whybox_server` is `whybox serve`."""

import sys

from whybox_server.app import serve_main

sys.exit(serve_main(sys.argv[1:]))
