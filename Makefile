# Each target calls one script; the steps are written there, once.
.PHONY: demo test test-oldest check

demo:         ## set up, build a demo index from shipped weights, search it
	scripts/demo
test:         ## set up and run every test
	scripts/test
test-oldest:  ## the same with the oldest supported numpy, pyarrow and faiss
	scripts/test-oldest
check:        ## ruff, mypy --strict, pyright
	scripts/check
