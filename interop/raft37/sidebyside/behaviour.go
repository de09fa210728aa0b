package main

import (
	"bufio"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"
)

// scriptRun is a script as both ran it. Where the transcripts are equal, only one is kept.
type scriptRun struct {
	Name     string   `json:"name"`
	Etcd     []string `json:"etcd"`
	Ours     []string `json:"ours,omitempty"`
	Rows     [][2]int `json:"rows,omitempty"` // line of etcd's beside line of ours, -1 where there is none
	Differs  int      `json:"differs"`
	Panicked string   `json:"panicked,omitempty"`
}

func readRuns(etcd, ours string) ([]scriptRun, error) {
	paths, err := filepath.Glob(filepath.Join(etcd, "*.txt"))
	if err != nil {
		return nil, err
	}
	sort.Strings(paths)
	panicked, err := readPanics(filepath.Join(etcd, "panicked.log"))
	if err != nil {
		return nil, err
	}
	var out []scriptRun
	for _, path := range paths {
		name := filepath.Base(path)
		a, err := lines(path)
		if err != nil {
			return nil, err
		}
		b, err := lines(filepath.Join(ours, name))
		if err != nil {
			return nil, err
		}
		r := scriptRun{Name: strings.TrimSuffix(name, ".txt"), Etcd: a, Panicked: panicked[name]}
		if strings.Join(a, "\n") != strings.Join(b, "\n") {
			r.Ours = b
			r.Rows = align(a, b)
			for _, row := range r.Rows {
				if row[0] < 0 || row[1] < 0 || a[row[0]] != b[row[1]] {
					r.Differs++
				}
			}
		}
		out = append(out, r)
	}
	return out, nil
}

// readPanics reads the oracle's lines `panicked SCRIPT: REASON`.
func readPanics(path string) (map[string]string, error) {
	out := map[string]string{}
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return out, nil
	} else if err != nil {
		return nil, err
	}
	defer f.Close()
	s := bufio.NewScanner(f)
	for s.Scan() {
		if rest, found := strings.CutPrefix(s.Text(), "panicked "); found {
			name, reason, _ := strings.Cut(rest, ": ")
			out[name] = reason
		}
	}
	return out, s.Err()
}

func lines(path string) ([]string, error) {
	text, err := os.ReadFile(path)
	return strings.Split(strings.TrimRight(string(text), "\n"), "\n"), err
}

// align puts equal lines beside each other (a longest common subsequence), and the others in pairs between them.
func align(a, b []string) [][2]int {
	var out [][2]int
	// Equal ends need no table.
	pre := 0
	for pre < len(a) && pre < len(b) && a[pre] == b[pre] {
		out = append(out, [2]int{pre, pre})
		pre++
	}
	post := 0
	for post < len(a)-pre && post < len(b)-pre && a[len(a)-1-post] == b[len(b)-1-post] {
		post++
	}
	out = append(out, middle(a[pre:len(a)-post], b[pre:len(b)-post], pre)...)
	for i := post; i > 0; i-- {
		out = append(out, [2]int{len(a) - i, len(b) - i})
	}
	return out
}

func middle(a, b []string, offset int) [][2]int {
	// common[i][j] is the length of the longest common subsequence of a[i:] and b[j:].
	common := make([][]int, len(a)+1)
	for i := range common {
		common[i] = make([]int, len(b)+1)
	}
	for i := len(a) - 1; i >= 0; i-- {
		for j := len(b) - 1; j >= 0; j-- {
			if a[i] == b[j] {
				common[i][j] = common[i+1][j+1] + 1
			} else {
				common[i][j] = max(common[i+1][j], common[i][j+1])
			}
		}
	}
	var out [][2]int
	var left, right []int
	flush := func() {
		for k := 0; k < max(len(left), len(right)); k++ {
			row := [2]int{-1, -1}
			if k < len(left) {
				row[0] = left[k] + offset
			}
			if k < len(right) {
				row[1] = right[k] + offset
			}
			out = append(out, row)
		}
		left, right = nil, nil
	}
	i, j := 0, 0
	for i < len(a) || j < len(b) {
		switch {
		case i < len(a) && j < len(b) && a[i] == b[j]:
			flush()
			out = append(out, [2]int{i + offset, j + offset})
			i, j = i+1, j+1
		case j == len(b) || (i < len(a) && common[i+1][j] >= common[i][j+1]):
			left = append(left, i)
			i++
		default:
			right = append(right, j)
			j++
		}
	}
	flush()
	return out
}
