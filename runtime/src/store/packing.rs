//! The packed form of objects: their JSON, compressed against others of the same kind.
//!
//! Objects of a kind resemble each other: the same fields, labels, annotations and managed-by lists. The first ones of a store
//! become the dictionary of all later ones, so that what is left of each is mostly its own names and numbers.

use std::{cell::RefCell, fmt, sync::OnceLock};

use kube::api::DynamicObject;
use parking_lot::Mutex;
use serde::{Serialize, de::DeserializeOwned};
use zstd_safe::{CCtx, CDict, DCtx, DDict};

/// Objects that make up the dictionary of a store, and how long it may be; more costs time for each object and gains little.
const SAMPLES: usize = 8;
const DICTIONARY_LIMIT: usize = 32 * 1024;
/// An object of as much JSON is packed by itself: it resembles itself enough.
pub(super) const LARGE: usize = 16 * 1024;
/// Objects change many times; what is saved by a higher level is not worth the time.
const LEVEL: i32 = 1;

/// How objects become bytes and come back.
pub struct Codec<K> {
    encode: fn(&K) -> Option<Vec<u8>>,
    decode: fn(&[u8]) -> Option<K>,
}

impl<K> fmt::Debug for Codec<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Codec")
    }
}

impl<K: Serialize + DeserializeOwned> Codec<K> {
    /// For typed objects.
    pub fn json() -> Self {
        Self {
            encode: |object| serde_json::to_vec(object).ok(),
            decode: |bytes| serde_json::from_slice(bytes).ok(),
        }
    }
}

impl Codec<DynamicObject> {
    /// For objects of any kind. Their own deserialiser keeps a second copy of everything meanwhile; this one does not.
    pub fn dynamic() -> Self {
        Self {
            encode: |object| {
                serde_json::to_vec(&(&object.types, &object.metadata, &object.data)).ok()
            },
            decode: |bytes| {
                let (types, metadata, data) = serde_json::from_slice(bytes).ok()?;
                Some(DynamicObject {
                    types,
                    metadata,
                    data,
                })
            },
        }
    }
}

/// One object.
pub(super) struct Packed {
    bytes: Box<[u8]>,
    /// Length of the JSON.
    length: u32,
    /// Packed by itself, without the dictionary.
    alone: bool,
}

impl Packed {
    pub(super) fn len(&self) -> usize {
        self.bytes.len() + size_of::<Self>()
    }
}

struct Dictionary {
    pack: CDict<'static>,
    unpack: DDict<'static>,
}

/// Packs the objects of one store.
pub(super) struct Packer<K> {
    codec: Codec<K>,
    /// What was packed first; becomes the dictionary when there is enough of it.
    samples: Mutex<Vec<u8>>,
    dictionary: OnceLock<Dictionary>,
}

thread_local! {
    static PACKING: RefCell<CCtx<'static>> = RefCell::new(CCtx::create());
    static UNPACKING: RefCell<DCtx<'static>> = RefCell::new(DCtx::create());
}

impl<K> Packer<K> {
    pub(super) fn new(codec: Codec<K>) -> Self {
        Self {
            codec,
            samples: Mutex::default(),
            dictionary: OnceLock::new(),
        }
    }

    /// Whether there is a dictionary: before that only large objects are packed.
    pub(super) fn is_ready(&self) -> bool {
        self.dictionary.get().is_some()
    }

    /// `None` for an object that is better left as it is for now: the first few, and what does not encode.
    pub(super) fn pack(&self, object: &K) -> Option<Packed> {
        let json = (self.codec.encode)(object)?;
        let alone = json.len() >= LARGE;
        let dictionary = self.dictionary.get().filter(|_| !alone);
        if dictionary.is_none() && !alone {
            self.sample(&json);
            return None;
        }
        let mut bytes = Vec::with_capacity(zstd_safe::compress_bound(json.len()));
        PACKING.with_borrow_mut(|context| {
            let packed = match dictionary {
                Some(dictionary) => {
                    context.compress_using_cdict(&mut bytes, &json, &dictionary.pack)
                }
                None => context.compress(&mut bytes, &json, LEVEL),
            };
            packed.ok()
        })?;
        Some(Packed {
            bytes: bytes.into_boxed_slice(),
            length: u32::try_from(json.len()).ok()?,
            alone,
        })
    }

    pub(super) fn unpack(&self, packed: &Packed) -> Option<K> {
        let mut json = Vec::with_capacity(usize::try_from(packed.length).ok()?);
        UNPACKING.with_borrow_mut(|context| {
            let unpacked = if packed.alone {
                context.decompress(&mut json, &packed.bytes)
            } else {
                let dictionary = self.dictionary.get()?;
                context.decompress_using_ddict(&mut json, &packed.bytes, &dictionary.unpack)
            };
            unpacked.ok()
        })?;
        (self.codec.decode)(&json)
    }

    fn sample(&self, json: &[u8]) {
        let mut samples = self.samples.lock();
        let share = &json[..json.len().min(DICTIONARY_LIMIT / SAMPLES)];
        samples.extend_from_slice(share);
        if samples.len() < DICTIONARY_LIMIT / 2 {
            return;
        }
        let text = std::mem::take(&mut *samples);
        self.dictionary.get_or_init(|| Dictionary {
            pack: CDict::create(&text, LEVEL),
            unpack: DDict::create(&text),
        });
    }
}
