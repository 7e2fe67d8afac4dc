package login

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"errors"
	"fmt"
	"html/template"
	"io/fs"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Page is what a template gets. All pages have Title, Style and Continue; what else
// is said at the field. Nothing in it came from the request as it was.
//
// A replaced template has the file name of the one it replaces: layout.html, which
// is every page and has the template "content" executed in its middle; error.html,
// logout.html, session.html, signed-out.html, choose.html and continue.html, which
// define "content"; and style.css. Scripts, and images and fonts that aren't in the page
// itself, are kept out by its Content-Security-Policy.
type Page struct {
	Title        string
	Style        template.HTML // a <style> element with style.css
	Continue     string        // the way on: an absolute address, or a path
	ContinueText string

	// Reference finds the cause in the log and the audit log. Empty where nothing
	// went wrong.
	Reference string

	// Reason is the name of an [audit.Reason], for error.html and for logout.html
	// when it is shown because a logout wasn't confirmed.
	Reason string

	Message string // all but session.html; in logout.html it may be empty
	Advice  string // error.html and signed-out.html: what to do; may be empty

	Sessions      []PageSession // logout.html, session.html (may have none)
	LogoutAddress string        // logout.html, session.html: the path of our logout

	// Unaccepted are session cookies that the browser has and that aren't accepted,
	// for logout.html, where logging out deletes them, and session.html.
	Unaccepted []PageUnaccepted

	Choices []PageChoice // choose.html
}

// Several says whether the page shows more than one client, so that its name is needed
// to tell them apart: they may be of one provider.
func (p Page) Several() bool { return len(p.Sessions)+len(p.Unaccepted) > 1 }

// PageSession is one session of the browser, of one client.
type PageSession struct {
	Client, Provider  string // as configured
	Subject           string // the provider's name for the person
	Name              string // the first of the claims that is text, else Subject
	Claims            []PageClaim
	LoggedIn, Expires time.Time // UTC
	Token             string    // logout.html: to be posted with Client
}

// PageClaim is a claim that the client's configuration shows.
type PageClaim struct{ Name, Text string }

// PageUnaccepted is a client with cookies that aren't accepted, such as two sessions
// at once or one that can't be opened here. Client is to be posted, without a token.
type PageUnaccepted struct{ Client, Provider string }

// PageChoice is one way to log in.
type PageChoice struct{ Client, Provider, Address string }

//go:embed pages
var builtin embed.FS

var pageNames = [...]string{"error.html", "logout.html", "session.html", "signed-out.html", "choose.html", "continue.html"}

// pages are the templates, ready to be executed.
type pages struct {
	templates map[string]*template.Template
	style     template.HTML
	styleHash string // for Content-Security-Policy
}

// loadPages takes each file from replaced where it has it, else from the built-in
// ones. Every page is tried, so that a mistake shows at start and not to somebody
// who can't log in.
func loadPages(replaced fs.FS, log *slog.Logger) (*pages, error) {
	if err := checkNames(replaced, log); err != nil {
		return nil, err
	}
	style, err := pageFile(replaced, "style.css")
	if err != nil {
		return nil, err
	}
	if strings.Contains(strings.ToLower(style), "</style") {
		return nil, errors.New("style.css holds </style, which ends it")
	}
	sum := sha256.Sum256([]byte(style))
	p := &pages{
		templates: map[string]*template.Template{},
		style:     template.HTML("<style>" + style + "</style>"),
		styleHash: "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'",
	}
	layout, err := pageFile(replaced, "layout.html")
	if err != nil {
		return nil, err
	}
	for _, name := range pageNames {
		content, err := pageFile(replaced, name)
		if err != nil {
			return nil, err
		}
		t, err := template.New("layout.html").Parse(layout)
		if err == nil {
			_, err = t.New(name).Parse(content)
		}
		if err != nil {
			return nil, err
		}
		p.templates[name] = t
		for _, trial := range []Page{{}, {Sessions: make([]PageSession, 1), Unaccepted: make([]PageUnaccepted, 1), Choices: make([]PageChoice, 1), Message: "m", Advice: "a", Reference: "r"}} {
			if _, err := p.render(name, trial); err != nil {
				return nil, err
			}
		}
	}
	return p, nil
}

// checkNames tells of files that replace nothing, which a slip in a name would else
// leave to be found out on the page. Hidden ones are of Kubernetes or an editor.
func checkNames(replaced fs.FS, log *slog.Logger) error {
	if replaced == nil {
		return nil
	}
	files, err := fs.ReadDir(replaced, ".")
	if err != nil {
		return err
	}
	known := append([]string{"layout.html", "style.css"}, pageNames[:]...)
	var unknown []string
	for _, file := range files {
		if name := file.Name(); name[0] != '.' && !slices.Contains(known, name) {
			unknown = append(unknown, name)
		}
	}
	if len(unknown) > 0 {
		log.Warn("files among the login pages replace none of them", "files", unknown, "known", known)
	}
	return nil
}

func pageFile(replaced fs.FS, name string) (string, error) {
	if replaced != nil {
		data, err := fs.ReadFile(replaced, name)
		if err == nil || !errors.Is(err, fs.ErrNotExist) {
			// A browser reads CR LF in a style as LF, and hashes that.
			return strings.ReplaceAll(string(data), "\r\n", "\n"), err
		}
	}
	data, err := builtin.ReadFile("pages/" + name)
	return string(data), err
}

func (p *pages) render(name string, data Page) ([]byte, error) {
	data.Style = p.style
	var b bytes.Buffer
	if err := p.templates[name].Execute(&b, data); err != nil {
		return nil, fmt.Errorf("page %s: %w", name, err)
	}
	return b.Bytes(), nil
}

// show answers with a page. formTargets are origins, beside our own, that a form
// on it may lead to.
func (h *Handler) show(w http.ResponseWriter, status int, name string, data Page, formTargets ...string) {
	body, err := h.pages.render(name, data)
	if err != nil {
		// Only a replaced template that fails with these data alone gets here.
		h.log.Error("page can't be made", "page", name, "err", err, "reference", data.Reference)
		http.Error(w, "This page can't be shown. "+data.Message, http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", contentPolicy(h.pages.styleHash, formTargets))
	w.WriteHeader(status)
	w.Write(body)
}

// redirect sends the browser on. A form that was posted ends here: the browser goes
// on by GET, and what was posted, such as a code, isn't sent along (RFC 9700, 4.12).
func redirect(w http.ResponseWriter, r *http.Request, address string) {
	status := http.StatusFound
	if r.Method == http.MethodPost {
		status = http.StatusSeeOther
	}
	w.Header().Set("Location", address)
	w.WriteHeader(status)
}
