package runtime

func cudaReason(dir string, err error) error { return err }
