# Everything a fresh machine needs: `make train` or `make test`. Python 3.11 or newer must be there; the rest is installed into .venv.
PYTHON ?= python3
BIN := .venv/bin
ATELIER := $(BIN)/atelier

.PHONY: train test lint tables gallery clean

train: .venv/ready
	$(ATELIER) fit gan/dcgan_digits

test: .venv/ready
	$(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile

lint: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Keys of all rows, then the tables of the README from committed records.
tables: .venv/ready
	$(BIN)/python -m experiments.table_keys
	$(BIN)/python -m experiments.table_markers README.md

# Every committed picture with what its record says of it.
gallery: .venv/ready
	$(BIN)/python -m experiments.gallery GALLERY.md

# Stale when the dependencies change; built aside the stamp, so that a broken install is tried again.
.venv/ready: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

clean:
	rm -rf .venv build *.egg-info .pytest_cache .ruff_cache .mypy_cache
