package main

import (
	"html/template"
	"os"
	"path/filepath"
	"regexp"
	"sort"
	"strings"
)

// speed is the latest comparison: its report, a Markdown file, and the plots beside it.
type speed struct {
	From  string
	Body  template.HTML
	Plots []plot
}

type plot struct {
	Name string
	SVG  template.HTML
}

// readSpeed takes the newest report below the folder; nil when there is none.
func readSpeed(dir string) (*speed, error) {
	var report string
	var newest int64
	plots := map[string][]string{}
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		switch filepath.Ext(path) {
		case ".md":
			info, err := d.Info()
			if err != nil {
				return err
			}
			if t := info.ModTime().UnixNano(); t > newest {
				report, newest = path, t
			}
		case ".svg":
			plots[filepath.Dir(path)] = append(plots[filepath.Dir(path)], path)
		}
		return nil
	})
	if os.IsNotExist(err) || (err == nil && report == "") {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	text, err := os.ReadFile(report)
	if err != nil {
		return nil, err
	}
	body, _, _ := strings.Cut(string(text), "\n## Plots\n") // they are shown themselves
	s := &speed{Body: markdown(body)}
	if s.From, err = filepath.Rel(filepath.Dir(filepath.Dir(dir)), report); err != nil {
		return nil, err
	}
	names := plots[filepath.Dir(report)]
	sort.Strings(names)
	for _, name := range names {
		svg, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		s.Plots = append(s.Plots, plot{strings.TrimSuffix(filepath.Base(name), ".svg"), safeSVG(string(svg))})
	}
	return s, nil
}

var (
	script  = regexp.MustCompile(`(?is)<script.*?</script>`)
	prolog  = regexp.MustCompile(`(?s)^.*?(<svg)`)
	svgSize = regexp.MustCompile(`^<svg([^>]*?) width="(\d+)" height="(\d+)"([^>]*)>`)
)

// safeSVG is what may stand in a page: no prolog, no scripts, and a size that follows the page's.
func safeSVG(svg string) template.HTML {
	svg = prolog.ReplaceAllString(script.ReplaceAllString(svg, ""), "$1")
	if !strings.Contains(svg[:min(len(svg), 400)], "viewBox") {
		svg = svgSize.ReplaceAllString(svg, `<svg$1 viewBox="0 0 $2 $3"$4>`)
	}
	return template.HTML(svg)
}

// markdown renders what reports are made of: headings, tables, lists and paragraphs.
func markdown(text string) template.HTML {
	var b strings.Builder
	inTable, inList := false, false
	end := func() {
		if inTable {
			b.WriteString("</table></div>")
		}
		if inList {
			b.WriteString("</ul>")
		}
		inTable, inList = false, false
	}
	for _, line := range strings.Split(text, "\n") {
		switch {
		case strings.HasPrefix(line, "|"):
			if strings.Trim(line, "|-: ") == "" {
				continue
			}
			cell := "td"
			if !inTable {
				end()
				b.WriteString(`<div class="wide"><table>`)
				inTable, cell = true, "th"
			}
			b.WriteString("<tr>")
			for _, c := range strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|") {
				b.WriteString("<" + cell + ">" + inline(strings.TrimSpace(c)) + "</" + cell + ">")
			}
			b.WriteString("</tr>")
		case strings.HasPrefix(line, "- "):
			if !inList {
				end()
				b.WriteString("<ul>")
				inList = true
			}
			b.WriteString("<li>" + inline(line[2:]) + "</li>")
		case strings.HasPrefix(line, "#"):
			end()
			b.WriteString("<h3>" + inline(strings.TrimLeft(line, "# ")) + "</h3>")
		case strings.TrimSpace(line) == "":
			end()
		case strings.HasPrefix(line, "!["):
			// The plots follow the report.
		default:
			end()
			b.WriteString("<p>" + inline(line) + "</p>")
		}
	}
	end()
	return template.HTML(b.String())
}
