package main

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const bridge = "chaos0"

// A namespace is a machine of its own as far as the network goes, with one link to the bridge.
type namespace struct {
	name    string // of the link's end at the bridge
	address netip.Addr
	file    *os.File // what it is held by
}

// newBridge makes the bridge, with this program on it, and gives the clients their addresses.
func newBridge() error {
	for _, args := range []string{
		"link set lo up",
		"link add " + bridge + " type bridge forward_delay 0",
		"address add " + ourAddress.String() + "/24 dev " + bridge,
		"link set " + bridge + " up",
		"route add local " + clientNetwork.String() + " dev lo",
	} {
		if err := ip(args); err != nil {
			return err
		}
	}
	return nil
}

// newNamespace makes a namespace that has address, and hangs it on the bridge.
func newNamespace(name string, address netip.Addr) (*namespace, error) {
	n := &namespace{name: name, address: address}
	err := onThread(func() (err error) {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("a network namespace: %w", err)
		}
		if n.file, err = os.Open("/proc/thread-self/ns/net"); err != nil {
			return err
		}
		for _, args := range []string{
			"link set lo up",
			fmt.Sprintf("link add eth0 type veth peer name %s netns %d", name, os.Getpid()),
			"address add " + address.String() + "/24 dev eth0",
			"link set eth0 up",
			"route add default via " + ourAddress.String(),
		} {
			if err := ip(args); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if err := ip("link set " + name + " master " + bridge); err != nil {
		return nil, err
	}
	return n, n.link(true)
}

// within runs f on a thread that is in the namespace. Sockets that f opens and processes that it starts stay there.
func (n *namespace) within(f func() error) error {
	return onThread(func() error {
		if err := unix.Setns(int(n.file.Fd()), unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("entering the namespace of %s: %w", n.name, err)
		}
		return f()
	})
}

// dial connects from the namespace to an address, of which both are numbers.
func (n *namespace) dial(ctx context.Context, network, address string) (conn net.Conn, err error) {
	err = n.within(func() error {
		conn, err = (&net.Dialer{Timeout: 5 * time.Second}).DialContext(ctx, network, address)
		return err
	})
	return conn, err
}

// link plugs the namespace in, or pulls the plug.
func (n *namespace) link(up bool) error {
	return ip("link set " + n.name + " " + map[bool]string{true: "up", false: "down"}[up])
}

// lose makes the namespace drop whatever it has to say to address, until it is to find it again.
func (n *namespace) lose(address netip.Addr, lost bool) error {
	return n.within(func() error {
		return ip("route " + map[bool]string{true: "add", false: "del"}[lost] + " blackhole " + address.String() + "/32")
	})
}

// onThread runs f on a thread that is used for nothing else afterwards, and thrown away.
func onThread(f func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		done <- f()
	}()
	return <-done
}

// ip runs the program of iproute2 in the namespace of the calling thread.
func ip(args string) error {
	cmd := exec.Command("ip", strings.Fields(args)...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("ip %s: %w: %s", args, err, strings.TrimSpace(string(out)))
	}
	return nil
}
