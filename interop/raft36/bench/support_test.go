package main

import "testing"

// The Rust drivers pin the same value.
func TestChecksumIsPinned(t *testing.T) {
	if got := expected(1000, 128); got != 13828096730619978360 {
		t.Fatalf("checksum %d", got)
	}
	for _, size := range []int{16, 17, 23, 24, 128, 4096} {
		good := applied{size: size, whole: true}
		for _, data := range payloads(0, 10, size) {
			good.apply(data)
		}
		good.check(10, 1)
		bad := applied{size: size}
		for _, seq := range []uint64{0, 2, 1, 3} {
			bad.apply(payload(seq, size))
		}
		if bad.sum == expected(4, size) {
			t.Fatal("a swap goes unnoticed")
		}
	}
}
