// Package packaging tests what others run the program with: the Debian package, the unit of systemd, the container image and
// the manifests for Kubernetes. It is a module of its own, so that the libraries of the tools that make and check these stay
// out of the program's go.mod; "go -C packaging test ./..." runs it.
package packaging
