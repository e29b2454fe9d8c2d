package main

import (
	"os"
	"syscall"
	"testing"
	"time"
)

func TestCPUOf(t *testing.T) {
	// The name of a program may hold blanks and parentheses.
	line := "4711 (a) S 1 (b) S 1 4711 4711 0 -1 4194560 2530 0 0 0 250 73 9 9 20 0 8 0 12345 1290137600 5900"
	if got, err := cpuOf([]byte(line)); got != 3230*time.Millisecond || err != nil {
		t.Errorf("Got %s, %v, want 2.5 s of user and 0.73 s of system time", got, err)
	}
	if _, err := cpuOf([]byte("4711 (a) S 1")); err == nil {
		t.Error("A line that is cut off gives no error")
	}
	line2, err := os.ReadFile("/proc/self/stat")
	if err != nil {
		t.Skip("No /proc here")
	}
	if _, err := cpuOf(line2); err != nil {
		t.Errorf("Cannot read this process's own: %v", err)
	}
}

// TestFamily: what a server's children use is the server's.
func TestFamily(t *testing.T) {
	p, err := launch("sh", "-c", "sleep 60 & sleep 60 & wait")
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL) // launch made it the leader of a group
		<-p.ended
	}()
	for range 200 {
		if len(family(p.cmd.Process.Pid)) == 3 {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("The family is %v, want the shell and two children", family(p.cmd.Process.Pid))
}
