module tickraft.example/interop/gopeer

go 1.26
