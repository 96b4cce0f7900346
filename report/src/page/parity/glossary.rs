//! What the words mean.

pub(super) const TERMS: [(&str, &str); 18] = [
    ("Run", "One directory on one backend, against one reference."),
    ("Candidate", "What was exported, on the backend that is looked at."),
    (
        "Reference: checkpoint",
        "FP32 graphs built anew from the checkpoint, on another engine. Proves export, precision, weights and file.",
    ),
    (
        "Reference: golden",
        "Outputs that another implementation recorded. Proves that the model is the one that was trained.",
    ),
    (
        "Reference: same file",
        "The same file on another engine. Proves that operators mean the same to both; a wrong export agrees with \
         itself.",
    ),
    ("rms", "Root mean square: squares are averaged, then the root is taken."),
    ("Relative", "rms of the differences over the rms of the reference’s output."),
    ("max abs", "Largest difference of an element."),
    (
        "max rel",
        "Largest difference, relative to the element or to the rms of its request’s output, whichever is larger.",
    ),
    (
        "1 − cosine",
        "How far two outputs point in different directions, in the request where it is worst.",
    ),
    (
        "SQNR",
        "Power of the reference over that of the differences, in decibels: 20 dB more is a tenth of the error.",
    ),
    ("Request", "Index of the request with the largest difference, counted from 0."),
    ("ULP", "Largest distance, counted in numbers that the output’s type can represent."),
    (
        "× weights",
        "rms error over the one that rounding the weights alone makes. No implementation in 16 bits can avoid that \
         part.",
    ),
    (
        "Top-k overlap",
        "Of the k candidates that the reference puts first, the share that is still among the first k. Candidates \
         that the reference can hardly tell apart may swap.",
    ),
    (
        "Kendall’s τ",
        "Pairs of candidates in the same order, less those in the other order, as a share of all pairs. 1 is the \
         same order, 0 is chance, −1 is reversed.",
    ),
    (
        "DC",
        "Distribution consistency: how far the ranker’s distribution over candidates is from the generator’s, in \
         nats. Its shift is reported, not judged.",
    ),
    (
        "Excused",
        "A failure that somebody knows about and lets pass, with a reason. An excuse for what holds is a failure.",
    ),
];
