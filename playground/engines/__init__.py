"""What an engine is to the playground, TGI as one, and the proof of what it really applies."""
