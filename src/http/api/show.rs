//! Items as JSON: their import form, with labels and marks.

use serde_json::{Value, json};

use crate::export::job_id;
use crate::model::{Block, Item, Kind, Transcript};
use crate::store::{ShownItem, ShownLabel, ShownMark};
use crate::when::rfc3339;

pub fn item_json(shown: &ShownItem) -> Value {
    let item = &shown.item;
    let mut out = match item.kind {
        Kind::Conversation => conversation(item),
        Kind::Note => json!({
            "kind": item.kind, "id": item.id, "version": item.version, "created_at": rfc3339(item.at),
            "programs": item.programs, "text": item.text,
        }),
    };
    out["labels"] = shown.labels.iter().map(label_json).collect();
    out["marks"] = shown.marks.iter().map(mark_json).collect();
    out
}

fn conversation(item: &Item) -> Value {
    json!({
        "kind": item.kind, "id": item.id, "media": item.media, "started_at": rfc3339(item.at),
        "programs": item.programs, "transcripts": item.transcripts.iter().map(transcript).collect::<Vec<_>>(),
    })
}

fn transcript(transcript: &Transcript) -> Value {
    let mut out = json!({"id": transcript.id, "blocks": transcript.blocks.iter().map(block).collect::<Vec<_>>()});
    for (name, value) in [("program", &transcript.program), ("language", &transcript.language)] {
        if let Some(value) = value {
            out[name] = json!(value);
        }
    }
    out
}

fn block(block: &Block) -> Value {
    let mut out = json!({"speaker": block.speaker, "text": block.text});
    if let Some(at_ms) = block.at_ms {
        out["at_ms"] = json!(at_ms);
    }
    out
}

fn label_json(label: &ShownLabel) -> Value {
    let evidence = label.evidence.as_ref();
    json!({
        "transcript": label.transcript, "block": label.block, "topic": label.topic,
        "source": if label.human { "human" } else { "rule" },
        "phrase": evidence.map(|e| &e.phrase), "score": evidence.map(|e| e.score),
        "start": evidence.map(|e| e.start), "end": evidence.map(|e| e.end),
        "job": job_id(label.by.job),
        "revision": Some(label.by.revision).filter(|&revision| revision != 0),
        "at": rfc3339(label.by.at),
    })
}

fn mark_json(mark: &ShownMark) -> Value {
    json!({
        "transcript": mark.transcript, "block": mark.block, "topic": mark.topic,
        "mark": if mark.is { "is" } else { "is_not" },
    })
}
