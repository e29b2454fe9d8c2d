package status

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"time"
)

// asset is a file that belongs to the pages. Browsers keep it and ask whether it is still the same.
type asset struct {
	name, kind, tag string
	text            []byte
}

// assets are all files but the templates, by the name under which they are served.
var assets = func() map[string]*asset {
	out := make(map[string]*asset)
	for name, kind := range map[string]string{
		"style.css": "text/css; charset=utf-8", "live.js": "text/javascript; charset=utf-8",
		"ok.svg": "image/svg+xml", "warning.svg": "image/svg+xml", "critical.svg": "image/svg+xml",
	} {
		text, err := files.ReadFile("page/" + name)
		if err != nil {
			panic(err) // it is embedded
		}
		sum := sha256.Sum256(text)
		out[name] = &asset{name, kind, `"` + hex.EncodeToString(sum[:8]) + `"`, text}
	}
	return out
}()

// ServeHTTP implements http.Handler.
func (a *asset) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Type", a.kind)
	h.Set("Cache-Control", "no-cache")
	h.Set("ETag", a.tag)
	http.ServeContent(w, r, a.name, time.Time{}, bytes.NewReader(a.text))
}
