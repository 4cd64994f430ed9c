PYTHON ?= python3.11
BIN := .venv/bin

.PHONY: help demo test lint format compile lock bench bench-ocr bench-text infra clean

help:  ## Show this help.
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 18

demo: .venv/demo-ready  ## Make a dataset from the sample archives: out/demo/.
	@$(BIN)/python demo/run.py

test: lint  ## Check style, types, compiled pipelines and behaviour.
	$(BIN)/pytest -n 2

lint: .venv/test-ready  ## Check style, types and that compiled/ is fresh.
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/pagemill compile --check

format: .venv/test-ready  ## Format the code.
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

compile: .venv/demo-ready  ## Compile the pipelines to compiled/.
	@$(BIN)/pagemill compile

lock: .venv/test-ready  ## Lock the requirements anew.
	$(BIN)/uv pip compile -q --universal --no-annotate --python-version 3.11 --no-emit-package pagemill \
	    --extra ocr --extra rapidocr --extra serve --extra cloud --extra notebooks --extra dev pyproject.toml -o requirements/test.txt
	$(BIN)/uv pip compile -q --universal --no-annotate --python-version 3.11 --no-emit-package pagemill \
	    --extra ocr -c requirements/test.txt pyproject.toml -o requirements/demo.txt

bench: bench-ocr bench-text .venv/test-ready  ## Measure against peers, one after another; see docs/benchmarks.md.
	for name in extraction second_run startup; do $(BIN)/python benchmarks/$$name.py || exit 1; done

bench-ocr: .venv/test-ready  ## Measure the reading of pages alone.
	for name in ocr decoding scaling; do $(BIN)/python benchmarks/$$name.py || exit 1; done

bench-text: .venv/test-ready  ## Measure cleaning, chunking, languages and duplicates alone.
	$(BIN)/python -m benchmarks.text
	for name in languages garbage dedup; do $(BIN)/python benchmarks/$$name.py || exit 1; done

infra: .venv/infra/ready  ## Check the Terraform in infra/.
	.venv/infra/bin/python infra/check.py

.venv/infra/ready: infra/requirements.txt | .venv/bin/python
	$(PYTHON) -m venv .venv/infra
	.venv/infra/bin/pip install --quiet -r $<
	@touch $@

clean:  ## Remove what the demo made.
	rm -rf out

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/%-ready: requirements/%.txt pyproject.toml | .venv/bin/python
	$(BIN)/pip install --quiet --no-deps -r $<
	$(BIN)/pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@
