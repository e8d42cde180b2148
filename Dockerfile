# topicgate in an image of its own binary and CA certificates, nothing else: no shell, no libc.
FROM golang:1.26.8-bookworm AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG VERSION=
# Without cgo the binary is static; the time zone database isn't needed, as all times are UTC.
RUN CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags "-s -w -X main.version=${VERSION}" -o /topicgate ./cmd/topicgate

FROM scratch
# For issuers, brokers and Redis over TLS. The build image has them from Debian.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /topicgate /topicgate
# A number, so that Kubernetes' runAsNonRoot can see that it isn't root.
USER 65532:65532
EXPOSE 8083 9090
ENTRYPOINT ["/topicgate"]
CMD ["serve"]
# No HEALTHCHECK: it would need a shell or a client in here. Ask /healthz and /readyz of the admin
# listener from outside (TOPICGATE_ADMIN_LISTEN=:9090 on a network of your own).
