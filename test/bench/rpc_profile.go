package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"
)

// profileRPC loads the responder as much as it bears, and writes the profile of its processor time into file, for go tool
// pprof.
func profileRPC(ctx context.Context, b bench, file string) error {
	lasting := time.Duration(b.seconds) * time.Second
	a, err := startArena(ctx, b)
	if err != nil {
		return err
	}
	defer a.stop()
	visits, err := a.record(ctx, clientCount)
	if err != nil {
		return err
	}
	load := calls{addresses: a.ways[throughGateway].addresses, visits: visits}
	profile := make(chan error, 1)
	go func() { profile <- fetchProfile(ctx, a.pprof, lasting, file) }()
	if _, _, err = load.closed(ctx, lasting+time.Second); err != nil {
		return err
	}
	return <-profile
}

// fetchProfile has CoreDNS's pprof plugin record for that long.
func fetchProfile(ctx context.Context, address string, lasting time.Duration, file string) error {
	url := fmt.Sprintf("http://%s/debug/pprof/profile?seconds=%d", address, int(lasting.Seconds()))
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("a profile of %s: %s", address, response.Status)
	}
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	if _, err := io.Copy(f, response.Body); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}
