package main

import (
	"html/template"
	"os"
	"regexp"
	"strings"
)

// divergence is a row of docs/divergence.md. Go's functions that it is about stand in it as code: `raftLog.commitTo`.
type divergence struct {
	Section string
	HTML    template.HTML
	names   map[string]bool
}

var codeSpan = regexp.MustCompile("`([^`]+)`")

func readDivergences(path string) ([]divergence, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var out []divergence
	section := ""
	var head []string
	for _, line := range strings.Split(string(text), "\n") {
		if s, found := strings.CutPrefix(line, "## "); found {
			section, head = s, nil
		}
		if !strings.HasPrefix(line, "| ") {
			continue
		}
		cells := strings.Split(strings.Trim(line, "| "), " | ")
		if head == nil {
			head = cells
			continue
		}
		out = append(out, newDivergence(section, head, cells))
	}
	return out, nil
}

func newDivergence(section string, head, cells []string) divergence {
	d := divergence{Section: section, names: map[string]bool{}}
	var b strings.Builder
	for i, c := range cells {
		if i == 0 {
			b.WriteString("<strong>" + inline(c) + "</strong>")
			continue
		}
		name := ""
		if i < len(head) {
			name = head[i]
		}
		b.WriteString("<br><em>" + inline(name) + "</em> " + inline(c))
	}
	d.HTML = template.HTML(b.String())
	for _, m := range codeSpan.FindAllStringSubmatch(strings.Join(cells, " "), -1) {
		d.names[m[1]] = true
	}
	return d
}

// mentions says whether the row names a Go function or type. Methods of the interface Node stand for those of node.
func (d divergence) mentions(name string) bool {
	method, found := strings.CutPrefix(name, "node.")
	return d.names[name] || found && d.names["Node."+method]
}

var (
	bold = regexp.MustCompile(`\*\*([^*]+)\*\*`)
	link = regexp.MustCompile(`\[([^\]]+)\]\([^)]*\)`)
)

// inline is Markdown's emphasis, code and links (as plain text: the page is read from anywhere).
func inline(text string) string {
	h := template.HTMLEscapeString(text)
	h = link.ReplaceAllString(h, "$1")
	h = codeSpan.ReplaceAllString(h, "<code>$1</code>")
	return bold.ReplaceAllString(h, "<b>$1</b>")
}
