package status

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path"
	"slices"
	"strings"
)

// policy is the Content-Security-Policy of everything: only what this server itself sends is shown, run and asked.
const policy = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; " +
	"form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// guard lets in who may see the status: whoever reaches the address, but no web page of another site in the browser of
// somebody who does. Such a page has two ways. It can have its own name resolve to this server and read it as its own
// (rebinding), and then the Host field has that name. Or it embeds what is here, and then the browser says so.
func (s *Site) guard(next http.Handler) http.Handler {
	names := []string{"localhost"}
	if machine, err := os.Hostname(); err == nil {
		short, _, _ := strings.Cut(machine, ".")
		names = append(names, plainHost(machine), plainHost(short))
	}
	return readOnly(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case !s.called(r.Host, names):
			text := fmt.Sprintf("This server is not called %q. If it is to be, write the name into the Corefile, behind the address: "+
				"status ADDRESS NAME. By its IP address it can be reached as it is.", limited(r.Host, 100))
			http.Error(w, text, http.StatusMisdirectedRequest)
		case foreign(r.Header):
			http.Error(w, "The page of another site asked for this. Open it in a window of its own.", http.StatusForbidden)
		case r.URL.Path != path.Clean(r.URL.Path): // ServeMux would send a browser elsewhere, with a query that nobody looked at
			s.refusePage(w, http.StatusNotFound, errNoPage)
		default:
			next.ServeHTTP(w, r)
		}
	}))
}

// called is whether host, of a request, is an IP address or one of names. Addresses need no list: who rebinds needs a name.
func called(host string, names []string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	} else if strings.HasPrefix(host, "[") && strings.HasSuffix(host, "]") {
		host = host[1 : len(host)-1]
	}
	if _, err := netip.ParseAddr(host); err == nil {
		return true
	}
	host = plainHost(host)
	return host != "" && slices.Contains(names, host)
}

func plainHost(name string) string { return strings.ToLower(strings.TrimSuffix(name, ".")) }

// foreign is whether a browser says that another site wants the answer for itself. Following a link from there is all right.
func foreign(h http.Header) bool {
	switch h.Get("Sec-Fetch-Site") {
	case "", "none", "same-origin":
		return false
	}
	return h.Get("Sec-Fetch-Mode") != "navigate" || h.Get("Sec-Fetch-Dest") != "document"
}

// readOnly sets what every answer has, and refuses every method that could change something, and every body: nothing here
// takes one, and where one ends is what a proxy in front may see otherwise (smuggling). Nothing is read behind it.
func readOnly(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			h.Set("Allow", "GET, HEAD")
			refuse(w, http.StatusMethodNotAllowed, fmt.Errorf("nothing can be changed here: GET and HEAD are what there is"))
			return
		}
		if r.ContentLength != 0 {
			h.Set("Connection", "close")
			refuse(w, http.StatusBadRequest, errors.New("a request with a body: nothing here takes one"))
			return
		}
		next.ServeHTTP(w, r)
	})
}
