package main

import (
	"fmt"
	"html/template"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"unicode"
)

// rustTree finds items in Rust files. There is no Rust parser in Go's library; for finding items and colouring them, tokens and braces are enough.
type rustTree struct {
	root  string
	files map[string]*rustFile
}

type rustFile struct {
	src   string
	items []rustItem
}

// rustItem is a declaration: its place in the text, documentation and attributes included.
type rustItem struct {
	keyword, name string
	begin, end    int
	line          int
	in            string // header of the block that it stands in
}

// rustToken is a piece of a Rust file: 'w' word, 'c' comment, 'l' literal, or the character itself.
type rustToken struct {
	kind       byte
	begin, end int
}

var rustKeywords = map[string]bool{}

func init() {
	for _, w := range strings.Fields(`as async await break const continue crate dyn else enum extern false fn for if impl in let loop match mod move mut
		pub ref return self Self static struct super trait true type union unsafe use where while macro_rules`) {
		rustKeywords[w] = true
	}
}

// rustTokens leaves out white space.
func rustTokens(src string) []rustToken {
	var out []rustToken
	for at := 0; at < len(src); {
		kind, end := rustToken1(src, at)
		if kind != ' ' {
			out = append(out, rustToken{kind, at, end})
		}
		at = end
	}
	return out
}

var (
	rawString = regexp.MustCompile(`^(?:br|r|cr)(#*)"`)
	charLit   = regexp.MustCompile(`^b?'(?:\\(?:x[0-9a-fA-F]{2}|u\{[0-9a-fA-F_]+\}|.)|[^\\'\n])'`)
	lifetime  = regexp.MustCompile(`^'[A-Za-z_]\w*`)
	number    = regexp.MustCompile(`^[0-9](?:[0-9a-zA-Z_]|\.[0-9])*`)
	word      = regexp.MustCompile(`^(?:r#)?[\pL_][\pL\pN_]*`)
)

// rustToken1 gives the kind and the end of the token at a place.
func rustToken1(src string, at int) (byte, int) {
	rest := src[at:]
	switch c := rest[0]; {
	case unicode.IsSpace(rune(c)):
		return ' ', at + 1
	case strings.HasPrefix(rest, "//"):
		if n := strings.IndexByte(rest, '\n'); n >= 0 {
			return 'c', at + n
		}
		return 'c', len(src)
	case strings.HasPrefix(rest, "/*"):
		return 'c', at + blockComment(rest)
	case rawString.MatchString(rest):
		m := rawString.FindStringSubmatch(rest)
		if n := strings.Index(rest[len(m[0]):], `"`+m[1]); n >= 0 {
			return 'l', at + len(m[0]) + n + 1 + len(m[1])
		}
		return 'l', len(src)
	case c == '"' || strings.HasPrefix(rest, `b"`) || strings.HasPrefix(rest, `c"`):
		return 'l', at + stringLit(rest)
	case charLit.MatchString(rest):
		return 'l', at + len(charLit.FindString(rest))
	case lifetime.MatchString(rest):
		return '\'', at + len(lifetime.FindString(rest))
	case number.MatchString(rest):
		return 'l', at + len(number.FindString(rest))
	case word.MatchString(rest):
		return 'w', at + len(word.FindString(rest))
	default:
		return c, at + 1
	}
}

func blockComment(rest string) int {
	depth := 0
	for i := 0; i+1 < len(rest); i++ {
		switch rest[i : i+2] {
		case "/*":
			depth++
			i++
		case "*/":
			depth--
			i++
			if depth == 0 {
				return i + 1
			}
		}
	}
	return len(rest)
}

func stringLit(rest string) int {
	for i := strings.IndexByte(rest, '"') + 1; i < len(rest); i++ {
		switch rest[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return len(rest)
}

var itemKeywords = map[string]bool{
	"fn": true, "struct": true, "enum": true, "trait": true, "type": true, "const": true, "impl": true, "macro_rules": true, "static": true, "union": true,
}

// items finds all declarations, nested ones included.
func (f *rustFile) find() {
	toks := rustTokens(f.src)
	text := func(i int) string { return f.src[toks[i].begin:toks[i].end] }
	var blocks []string // headers of the open blocks
	head := 0           // the token that began the current declaration
	for i := range toks {
		switch toks[i].kind {
		case '{':
			blocks = append(blocks, strings.Join(strings.Fields(f.code(toks[head:i])), " "))
			head = i + 1
		case '}':
			if len(blocks) > 0 {
				blocks = blocks[:len(blocks)-1]
			}
			head = i + 1
		case ';':
			head = i + 1
		case 'w':
			if itemKeywords[text(i)] {
				f.add(toks, i, head, blocks)
			}
		}
	}
}

// code is the text of tokens without comments and attributes.
func (f *rustFile) code(toks []rustToken) string {
	var parts []string
	for i := 0; i < len(toks); i++ {
		switch t := toks[i]; {
		case t.kind == 'c':
		case t.kind == '#' && i+1 < len(toks) && toks[i+1].kind == '[':
			i = closing(toks, i+1)
		default:
			parts = append(parts, f.src[t.begin:t.end])
		}
	}
	return joinRust(parts)
}

// closing is the place of the bracket that closes the one at i.
func closing(toks []rustToken, i int) int {
	for depth := 0; i < len(toks); i++ {
		switch toks[i].kind {
		case '[':
			depth++
		case ']':
			if depth--; depth == 0 {
				return i
			}
		}
	}
	return i
}

// joinRust puts a blank only between words.
func joinRust(parts []string) string {
	var b strings.Builder
	isWord := func(s string) bool { return s != "" && (unicode.IsLetter(rune(s[0])) || s[0] == '_' || s[0] == '\'') }
	for i, p := range parts {
		if i > 0 && (isWord(p) && (isWord(parts[i-1]) || parts[i-1] == ">" || parts[i-1] == ",")) {
			b.WriteByte(' ')
		}
		b.WriteString(p)
	}
	return b.String()
}

// add takes the declaration whose keyword is token i, if it is one.
func (f *rustFile) add(toks []rustToken, i, head int, blocks []string) {
	keyword := f.src[toks[i].begin:toks[i].end]
	next := i + 1
	if keyword == "macro_rules" {
		next++ // the exclamation mark
	}
	if next >= len(toks) || (keyword != "impl" && toks[next].kind != 'w') {
		return
	}
	name := f.src[toks[next].begin:toks[next].end]
	// `const fn`, `unsafe impl` and the like are found at their second word.
	if itemKeywords[name] || name == "unsafe" || (keyword == "impl" && i > head && toks[i-1].kind != 'w' && toks[i-1].kind != ']' && toks[i-1].kind != 'c') {
		return
	}
	end, depth := len(f.src), 0
	for j := next; j < len(toks); j++ {
		switch toks[j].kind {
		case '{', '(', '[':
			depth++
		case '}', ')', ']':
			depth--
			if depth == 0 && toks[j].kind == '}' {
				end = toks[j].end
				j = len(toks)
			}
		case ';':
			if depth == 0 {
				end = toks[j].end
				j = len(toks)
			}
		}
	}
	if keyword == "impl" {
		j := next
		for j < len(toks) && toks[j].kind != '{' {
			j++
		}
		name = f.code(toks[i:j])
	}
	in := ""
	if len(blocks) > 0 {
		in = blocks[len(blocks)-1]
	}
	begin := toks[min(head, i)].begin
	f.items = append(f.items, rustItem{keyword, name, begin, end, 1 + strings.Count(f.src[:toks[i].begin], "\n"), in})
}

func (t *rustTree) file(path string) (*rustFile, error) {
	if f, found := t.files[path]; found {
		return f, nil
	}
	text, err := os.ReadFile(filepath.Join(t.root, path))
	if err != nil {
		return nil, err
	}
	f := &rustFile{src: string(text)}
	f.find()
	if t.files == nil {
		t.files = map[string]*rustFile{}
	}
	t.files[path] = f
	return f, nil
}

// fill puts the twin into a row.
func (t *rustTree) fill(r *row, item, path string) error {
	f, err := t.file(path)
	if err != nil {
		return err
	}
	best, score := -1, -1<<30
	for i := range f.items {
		if s := f.items[i].score(f.src, r, item); s > score {
			best, score = i, s
		}
	}
	if best < 0 || score < 0 {
		return fmt.Errorf("%s: no %s, the twin of %s", path, item, r.Name)
	}
	it := f.items[best]
	text := f.src[it.begin:it.end]
	r.RustName, r.RustFile, r.RustLine, r.RustIn = item, path, it.line, it.in
	r.Rust = colourRust(unindent(f.src, it))
	for _, d := range differs(text) {
		r.Notes = append(r.Notes, template.HTML(template.HTMLEscapeString(d)))
	}
	return nil
}

// score says how well an item fits: by its name, then by the type that it belongs to, then by the alias. Negative: not at all.
func (it *rustItem) score(src string, r *row, item string) int {
	name := item[strings.LastIndex(item, ":")+1:]
	if it.name != name && !(it.keyword == "impl" && strings.Contains(it.name, name)) {
		return -1
	}
	recv, goName, method := strings.Cut(r.Name, ".")
	if !method {
		recv, goName = "", r.Name
	}
	s := 0
	if strings.Contains(src[it.begin:it.end], `alias = "`+goName+`"`) {
		s += 8
	}
	if recv != "" && regexp.MustCompile(`(?i)\b`+regexp.QuoteMeta(recv)+`\b`).MatchString(it.in) {
		s += 10
	}
	if strings.HasPrefix(it.in, "mod tests") || it.keyword == "impl" {
		s -= 6
	}
	if (it.keyword == "fn") == (r.Kind == "func") {
		s += 2
	}
	return max(s, 0)
}

// unindent takes the block's indentation off.
func unindent(src string, it rustItem) string {
	line := strings.LastIndexByte(src[:it.begin], '\n') + 1
	indent := src[line:it.begin]
	if strings.TrimSpace(indent) != "" {
		indent = ""
	}
	return strings.ReplaceAll(src[it.begin:it.end], "\n"+indent, "\n")
}

// differs gives the sentences of an item's documentation that say where it differs from Go.
func differs(text string) []string {
	var out []string
	lines := strings.Split(text, "\n")
	for i := 0; i < len(lines); i++ {
		at := strings.Index(lines[i], "Differs from Go")
		if at < 0 || !strings.Contains(lines[i][:at], "//") {
			continue
		}
		said := lines[i][at:]
		for i+1 < len(lines) {
			next := strings.TrimSpace(lines[i+1])
			more := strings.TrimSpace(strings.TrimLeft(next, "/!"))
			if !strings.HasPrefix(next, "//") || more == "" || strings.HasPrefix(more, "#") || strings.HasPrefix(more, "```") {
				break
			}
			said += " " + more
			i++
		}
		out = append(out, said)
	}
	return out
}

// colourRust marks keywords (b), comments (i) and literals (u).
func colourRust(text string) template.HTML {
	var out strings.Builder
	done := 0
	for _, t := range rustTokens(text) {
		tag := ""
		switch {
		case t.kind == 'c':
			tag = "i"
		case t.kind == 'l':
			tag = "u"
		case t.kind == 'w' && rustKeywords[text[t.begin:t.end]]:
			tag = "b"
		default:
			continue
		}
		out.WriteString(template.HTMLEscapeString(text[done:t.begin]))
		mark(&out, tag, text[t.begin:t.end])
		done = t.end
	}
	out.WriteString(template.HTMLEscapeString(text[done:]))
	return template.HTML(out.String())
}
