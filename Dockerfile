# syntax=docker/dockerfile:1
# A static binary in an empty image. Build: docker build -t hookward . (or buildx with --platform linux/amd64,linux/arm64)

FROM rust:1.95-bookworm AS build
ARG TARGETARCH=amd64
WORKDIR /hookward
COPY . .
# glibc linked statically: it runs without any file of a distribution, and names are resolved as on every other Linux.
# `--target` keeps the flag away from build scripts and macros, which must stay dynamic. Kernels for arm64 have pages of
# 4, 16 or 64 KiB: jemalloc, built for the largest, runs on all.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/hookward/target,id=target-${TARGETARCH} \
    set -eu; \
    case "${TARGETARCH}" in \
      amd64) target=x86_64-unknown-linux-gnu ;; \
      arm64) target=aarch64-unknown-linux-gnu ;; \
      *) echo "no target for ${TARGETARCH}" >&2; exit 1 ;; \
    esac; \
    if [ "${TARGETARCH}" = arm64 ]; then export JEMALLOC_SYS_WITH_LG_PAGE=16; fi; \
    RUSTFLAGS='-C target-feature=+crt-static' cargo build --release --locked --bin hookward --target "${target}"; \
    cp "target/${target}/release/hookward" /hookward.bin

FROM scratch
LABEL org.opencontainers.image.title="hookward" \
      org.opencontainers.image.description="A reverse-proxy sidecar for webhooks" \
      org.opencontainers.image.source="https://github.com/hookward/hookward" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /hookward.bin /hookward
USER 65532:65532
# Webhooks; health and metrics. The admin listener is on loopback inside the pod and not exposed.
EXPOSE 9480 9481
ENTRYPOINT ["/hookward"]
CMD ["run"]
