package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/coredns-kms/coredns-kms/internal/status"
)

// maxAnswer bounds what a client reads: a host takes well below 2 KiB, and there may be thousands.
const maxAnswer = 16 << 20

// Client asks the server at a socket.
type Client struct{ Socket string }

// Hosts is what the server knows of its hosts.
func (c Client) Hosts(ctx context.Context) (out Hosts, err error) {
	return out, c.do(ctx, http.MethodGet, "hosts", nil, &out)
}

// Drain takes a host out of every answer.
func (c Client) Drain(ctx context.Context, r Request) (out Decision, err error) {
	return out, c.do(ctx, http.MethodPost, "drain", r, &out)
}

// Undrain puts a host back.
func (c Client) Undrain(ctx context.Context, r Request) (out Decision, err error) {
	return out, c.do(ctx, http.MethodPost, "undrain", r, &out)
}

// Status is the server's report on everything.
func (c Client) Status(ctx context.Context) (out status.Report, err error) {
	return out, c.do(ctx, http.MethodGet, "status", nil, &out)
}

// Clients is a page of the server's ledger.
func (c Client) Clients(ctx context.Context, q status.ClientQuery) (out status.Clients, err error) {
	return out, c.do(ctx, http.MethodGet, "clients?"+q.Values().Encode(), nil, &out)
}

// Why is what the server knows of one client: an address, a CMID or a machine's name.
func (c Client) Why(ctx context.Context, client string) (out status.Why, err error) {
	return out, c.do(ctx, http.MethodGet, "why?"+url.Values{"client": {client}}.Encode(), nil, &out)
}

// RefusedError is a server's own word for why it did not do what it was asked.
type RefusedError struct {
	NotFound bool // it does not know what it was asked about; else it may know, or do it, another time
	text     string
}

func (e *RefusedError) Error() string { return e.text }

func (c Client) do(ctx context.Context, method, what string, in, out any) error {
	ctx, cancel := context.WithTimeout(ctx, 40*time.Second) // the server gives itself 30
	defer cancel()
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(b)
	}
	r, err := http.NewRequestWithContext(ctx, method, "http://kms/v1/"+what, body)
	if err != nil {
		return err
	}
	t := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", c.Socket)
	}}
	defer t.CloseIdleConnections()
	reply, err := (&http.Client{Transport: t}).Do(r)
	if err != nil {
		return explain(err, c.Socket)
	}
	defer reply.Body.Close()
	text, err := io.ReadAll(io.LimitReader(reply.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("the answer broke off: %w", err)
	}
	return read(reply.StatusCode, text, out, c.Socket)
}

// read takes the server's answer.
func read(status int, text []byte, out any, socket string) error {
	var head struct {
		Version int
		Error   string
	}
	switch err := json.Unmarshal(text, &head); {
	case err != nil || head.Version == 0:
		return fmt.Errorf("what answers at %s is not a coredns with kms", socket)
	case head.Version != Version:
		return fmt.Errorf("the server speaks version %d of this, and this program version %d: use the program of the server", head.Version, Version)
	case head.Error != "":
		return &RefusedError{status == http.StatusNotFound, head.Error}
	case status != http.StatusOK:
		return fmt.Errorf("the server answers %s", http.StatusText(status))
	}
	return json.Unmarshal(text, out)
}

// explain says what to do about an error of the socket.
func explain(err error, socket string) error {
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
		return fmt.Errorf("there is no socket %s: is the server running, and does a kms block of its Corefile say \"control %s\"? Another path is given by -socket", socket, socket)
	case errors.Is(err, syscall.ECONNREFUSED) && other(socket) != "":
		return fmt.Errorf("%s is not a socket (%s): -socket takes the path that a kms block of the server's Corefile gives to control",
			socket, other(socket))
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("nobody answers at %s: the server that made it is not running any more", socket)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("no permission to use %s%s", socket, owner(socket))
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("the server at %s does not answer", socket)
	}
	return err
}

// other is what is at path that is not a socket.
func other(path string) string {
	file, err := os.Stat(path)
	if err != nil || file.Mode().Type() == fs.ModeSocket {
		return ""
	}
	return kind(file.Mode())
}

// owner says who may use the socket.
func owner(socket string) string {
	file, err := os.Stat(socket)
	if err != nil {
		return fmt.Sprintf(": the directory %s cannot be entered: try sudo", filepath.Dir(socket))
	}
	uid, gid, ok := owners(file)
	if !ok {
		return ""
	}
	u, g := strconv.Itoa(uid), strconv.Itoa(gid)
	if found, err := user.LookupId(u); err == nil {
		u = found.Username
	}
	if found, err := user.LookupGroupId(g); err == nil {
		g = found.Name
	}
	return fmt.Sprintf(": that takes user %s, a member of group %s, or sudo", u, g)
}
