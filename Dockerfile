# coredns-kms in an image with nothing else in it: no shell, no package manager, no root.
#
#   docker build --build-arg VERSION=1.2.3 --tag coredns-kms .
#   docker run --read-only --cap-drop ALL --volume "$PWD/Corefile:/etc/coredns-kms/Corefile:ro" --publish 53:53/udp --publish 53:53/tcp coredns-kms
#   docker exec CONTAINER coredns-kms hosts
#
# The process has no capability. Docker lets anybody in a container listen on port 53 (net.ipv4.ip_unprivileged_port_start is
# 0 there); an engine that does not wants "--sysctl net.ipv4.ip_unprivileged_port_start=0", or a port from 1024 in the
# Corefile. A capability of the file, which setcap would give it, is lost by some builders, and by no-new-privileges.

FROM --platform=$BUILDPLATFORM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
# The program is built by the Go of go.mod's toolchain line, as make does it; the Go of the image, which fetches that one, would
# otherwise build it itself, whichever it is (golang's images have GOTOOLCHAIN=local).
RUN GOTOOLCHAIN=$(sed -n 's/^toolchain //p' go.mod) go mod download
COPY . .
ARG VERSION=dev
ARG TARGETOS=linux
ARG TARGETARCH
RUN GOTOOLCHAIN=$(sed -n 's/^toolchain //p' go.mod) CGO_ENABLED=0 GOOS=${TARGETOS} GOARCH=${TARGETARCH} go build -trimpath -buildvcs=false -ldflags "-s -w -X main.version=${VERSION}" -o /image/usr/bin/coredns-kms ./build
RUN install -d -m 0750 -o 65532 -g 65532 /image/var/lib/coredns-kms /image/run/coredns-kms
# For "forward . tls://..." and whoever else asks servers that others vouch for.
RUN install -D -m 0644 /etc/ssl/certs/ca-certificates.crt /image/etc/ssl/certs/ca-certificates.crt
RUN install -D -m 0644 packaging/Corefile /image/etc/coredns-kms/Corefile

FROM scratch
COPY --from=build /image /
USER 65532:65532
WORKDIR /etc/coredns-kms
VOLUME /var/lib/coredns-kms
EXPOSE 53/udp 53/tcp 1688/tcp
# No HEALTHCHECK: whether this process works depends on what the Corefile says of "health" and "ready", and whether its hosts do
# is no reason to restart it.
ENTRYPOINT ["/usr/bin/coredns-kms"]
CMD ["-conf", "/etc/coredns-kms/Corefile"]
