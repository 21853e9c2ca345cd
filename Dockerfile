# syntax=docker/dockerfile:1
# make container                an image for CPUs, helip:cpu
# make container DEVICE=cuda    the same, which asks the container runtime for the machine's GPUs, helip:cuda
# The pinned torch carries its CUDA libraries in either: another wheel for CPUs would not be the one that the lock file names.
ARG DEVICE=cpu

FROM python:3.11-slim-bookworm AS cpu

FROM cpu AS cuda
ENV NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility

FROM ${DEVICE} AS final
# g++ compiles the miner's kernel on first use; git tells the commit that stands in every artefact, so .git is copied too. The Debian
# release fixes their versions.
# hadolint ignore=DL3008
RUN apt-get update -qq \
    && apt-get install -y -qq --no-install-recommends g++ git make \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /helip
COPY . .
RUN make setup PYTHON=python3.11
ENV PATH=/helip/.venv/bin:$PATH
# Mount a folder for what is made: docker run --rm -v "$PWD/results:/helip/results" helip:cpu make table1
CMD ["helip", "--help"]
