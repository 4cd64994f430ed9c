PYTHON ?= python3.11
BIN := .venv/bin
IMAGE_LOCK = $(BIN)/uv pip compile -q --generate-hashes --no-annotate --no-header --python-version 3.11 \
    --python-platform x86_64-manylinux_2_28 --no-emit-package pagemill -c requirements/test.txt

# Tests and demos start many processes: what one has compiled is there for the others, whatever the shell says.
export PYTHONDONTWRITEBYTECODE =

.PHONY: help demo demo-decks test lint format compile lock bench bench-ocr bench-text docs notebooks infra sbom test-images clean

help:  ## Show this help.
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 20

demo: .venv/demo-ready  ## Make a dataset from the sample archives: out/demo/.
	@$(BIN)/python demo/run.py

demo-decks: .venv/demo-decks-ready  ## Review a sample deck with a tiny model: out/demo-decks/.
	@$(BIN)/python demo/decks/run.py

test: lint  ## Check style, types, compiled pipelines and behaviour.
	$(BIN)/pytest -n 2
	$(BIN)/python -m pytest containers -k pipeline

lint: .venv/test-ready  ## Check style, types and that compiled/ is fresh.
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/hadolint containers/*/Dockerfile
	$(BIN)/pagemill compile --check

format: .venv/test-ready  ## Format the code.
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

compile: .venv/test-ready  ## Compile the pipelines to compiled/.
	@$(BIN)/pagemill compile

lock: .venv/test-ready  ## Lock the requirements anew.
	$(BIN)/uv pip compile -q --universal --no-annotate --python-version 3.11 --no-emit-package pagemill \
	    --extra ocr --extra rapidocr --extra serve --extra decks --extra cloud --extra notebooks --extra dev pyproject.toml -o requirements/test.txt
	$(BIN)/uv pip compile -q --universal --no-annotate --python-version 3.11 --no-emit-package pagemill \
	    --extra ocr -c requirements/test.txt pyproject.toml -o requirements/demo.txt
	$(BIN)/uv pip compile -q --universal --no-annotate --python-version 3.11 --no-emit-package pagemill \
	    --extra decks --extra rapidocr --extra tiny-llama -c requirements/test.txt pyproject.toml -o requirements/demo-decks.txt
	$(IMAGE_LOCK) --extra cloud --extra models --extra rapidocr pyproject.toml -o containers/pipeline/requirements.txt
	$(IMAGE_LOCK) --extra ocr --extra rapidocr --extra serve pyproject.toml -o containers/nougat/requirements.txt
	$(IMAGE_LOCK) --extra container --extra rapidocr pyproject.toml -o containers/vision/requirements.txt
	$(IMAGE_LOCK) --extra container pyproject.toml -o containers/text/requirements.txt
	echo 'setuptools>=77' | $(IMAGE_LOCK) - -o containers/build-requirements.txt

bench: bench-ocr bench-text .venv/test-ready  ## Measure against peers, one after another; see docs/benchmarks.md.
	for name in extraction second_run startup; do $(BIN)/python benchmarks/$$name.py || exit 1; done

bench-ocr: .venv/test-ready  ## Measure the reading of pages alone.
	for name in ocr decoding scaling; do $(BIN)/python benchmarks/$$name.py || exit 1; done

bench-text: .venv/test-ready  ## Measure cleaning, chunking, languages and duplicates alone.
	$(BIN)/python -m benchmarks.text
	for name in languages garbage dedup; do $(BIN)/python benchmarks/$$name.py || exit 1; done

docs: .venv/test-ready  ## Write docs/components.md from the code.
	$(BIN)/python -m pagemill.cloud.reference

notebooks: .venv/test-ready  ## Execute the notebooks and write their outputs.
	$(BIN)/python -m tests.notebooks

test-images: .venv/test-ready  ## Build each image's environment from its lock and run its smoke test.
	$(BIN)/python -m pytest containers

sbom: .venv/test-ready  ## List what is in each image: out/sbom/.
	@$(BIN)/python containers/sbom.py out/sbom

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
	$(BIN)/pip install --quiet --no-deps -r containers/build-requirements.txt
	$(BIN)/pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@
