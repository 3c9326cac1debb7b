# A static binary on an empty image. It needs DATABASE_URL, and a first token, since what
# others can reach serves nobody without one:
#   docker run --rm -e DATABASE_URL=postgres://… penstock migrate up
#   docker run --rm -e DATABASE_URL=postgres://… penstock token create root --role admin
#   docker run -e DATABASE_URL=postgres://… -p 8080:8080 penstock
FROM golang:1.26-bookworm AS build
WORKDIR /src
COPY . .
# timetzdata carries the time zones inside the binary: the image has no files for them.
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/root/.cache/go-build \
    CGO_ENABLED=0 go build -trimpath -buildvcs=false -tags timetzdata -ldflags='-s -w' \
    -o /out/penstock ./cmd/penstock

FROM scratch
# TLS to Postgres (sslmode=verify-full with a public authority) needs root certificates.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /out/penstock /penstock
# By number, so that Kubernetes can check runAsNonRoot without a passwd file.
USER 65532:65532
ENV PENSTOCK_LISTEN=0.0.0.0:8080 PENSTOCK_LOG_FORMAT=json
EXPOSE 8080
# No shell and no curl inside: probe /healthz and /readyz from outside.
ENTRYPOINT ["/penstock"]
CMD ["serve"]
