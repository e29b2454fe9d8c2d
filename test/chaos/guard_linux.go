package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/coredns-kms/coredns-kms/test/repository"

	"golang.org/x/sys/unix"
)

// inside is in the environment of the process that has namespaces of its own: the directory that it may use.
const inside = "KMS_CHAOS_INSIDE"

// built is in its environment too: which commit the server was built of.
const built = "KMS_CHAOS_COMMIT"

// init keeps the main goroutine on the main thread: the namespaces of the process are those of its main thread, so that no
// other goroutine may change them, and who dies with its parent dies with the thread that started it.
func init() { runtime.LockOSThread() }

// run is the whole program, on both sides.
func run(o options) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if dir := os.Getenv(inside); dir != "" {
		if err := enclose(); err != nil {
			return err
		}
		return experiment(ctx, o, dir)
	}
	if os.Geteuid() != 0 {
		return errors.New("it needs root, for namespaces of its own: run it as root, or in a virtual machine or container where you are (sudo -E go run ./test/chaos)")
	}
	if _, err := exec.LookPath("ip"); err != nil {
		return errors.New("ip is missing: apt-get install iproute2")
	}
	root, err := repository.Root(ctx)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "kms-chaos-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := repository.Build(ctx, root, dir, "./build"); err != nil {
		return err
	}
	return guard(ctx, o, root, dir)
}

// guard runs this program once more, in namespaces of its own, until it ends or ctx is done.
func guard(ctx context.Context, o options, root, dir string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.Command(self, append(os.Args[1:], fmt.Sprintf("-seed=%d", o.seed))...)
	cmd.Dir = root
	cmd.Env = append(os.Environ(), inside+"="+dir, built+"="+repository.Commit(ctx, root))
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS | syscall.CLONE_NEWPID,
		Pdeathsig:  syscall.SIGKILL, // if this process is killed, all of it ends
		Setpgid:    true,            // a ^C is for this process, which asks the other
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("namespaces: %w", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case err = <-ended:
	case <-ctx.Done():
		cmd.Process.Signal(syscall.SIGTERM)
		select {
		case err = <-ended:
		case <-time.After(30 * time.Second):
			cmd.Process.Kill()
			err = errors.Join(errors.New("it did not end when it was asked to"), <-ended)
		}
	}
	if exit := new(exec.ExitError); errors.As(err, &exit) && exit.Exited() {
		os.RemoveAll(dir)
		os.Exit(exit.ExitCode()) // it said why
	}
	return err
}

// enclose makes the namespaces, in which this process is the first, what the rest takes them for.
func enclose() error {
	if os.Getpid() != 1 {
		return fmt.Errorf("%s is for this program alone: leave it out of the environment", inside)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("keeping mounts to itself: %w", err)
	}
	if err := unix.Mount("proc", "/proc", "proc", 0, ""); err != nil {
		return fmt.Errorf("a /proc of its own: %w", err)
	}
	return nil
}

// binaryIn is the server in a directory that Build filled.
func binaryIn(dir string) string { return filepath.Join(dir, "build") }

// settledWords says how busy the machine is, for the report.
func settledWords() string {
	load, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	return strings.Join(strings.Fields(string(load))[:3], ", ")
}
