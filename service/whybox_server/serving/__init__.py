"""Things that answer queries: cache, batcher, and models behind one small protocol."""
