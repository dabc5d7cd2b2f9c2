package bundle

// GraphFile is the file that has the training graph of a layout.
func GraphFile(layout string) string {
	if layout == LayoutPortable {
		return TrainFile
	}
	return BlockedFile
}

// Graph is the training graph of a layout.
func (b *Bundle) Graph(layout string) []byte {
	if layout == LayoutPortable {
		return b.Train
	}
	return b.Blocked
}

// Evaluation is the evaluation graph of a layout: its images, its state and its
// logits are those of Eval.
func (b *Bundle) Evaluation(layout string) []byte {
	if layout == LayoutKernels && b.BlockedEval != nil {
		return b.BlockedEval
	}
	return b.Eval
}
