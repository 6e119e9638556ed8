# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Fine-tuning a BERT model
#
# The road of the TensorFlow Model Garden lesson of the same name, walked with bertune and PyTorch: data, tokenizer,
# inputs, model, checkpoint, optimizer, training, use, saving, export; then its appendix. Which old call became which
# new one: [From the Model Garden](../docs/guides/from-model-garden.md).
#
# It needs no network and no GPU. Without data of your own it learns, in less than two minutes on two cores, whether two
# support questions ask for the same thing. With the files of MRPC, the lesson's data, in `$BERTUNE_GLUE_DIR/MRPC` it
# learns whether two news sentences say the same.

# %% [markdown]
# ## Set-up

# %%
import importlib.util
import os
import shutil
from pathlib import Path

import numpy as np
import torch

import bertune

# %% [markdown]
# Everything that can be chosen stands here. `MODEL` is the small encoder that `make demo` installs; a folder of
# TensorFlow's or transformers' files, or a name on the hub, will do as well.

# %%
MODEL = "sentence-transformers/all-MiniLM-L6-v2"
GLUE_DIR = os.environ.get("BERTUNE_GLUE_DIR")  # a folder with MRPC/ in it; None takes the questions
EPOCHS = int(os.environ.get("BERTUNE_NOTEBOOK_EPOCHS", "3"))
BATCH_SIZE = 16
LEARNING_RATE = 1e-4
MAX_LENGTH = 128
OUT = Path("runs") / ("mrpc_notebook" if GLUE_DIR else "questions_notebook")  # all that is made here, some 180 MB

# %% [markdown]
# ## The data
#
# A task says which columns hold the texts and the label; the splits are found by it.

# %%
questions = bertune.Task.for_columns(bertune.Columns("question1", "question2", "label"))
task = bertune.glue_task("mrpc") if GLUE_DIR else questions
splits = bertune.find_splits(GLUE_DIR or bertune.demo_folder(), task)
list(splits)

# %% [markdown]
# Reading accounts for every row: used, or refused with file, line and reason. Nothing is dropped in silence.

# %%
train, validation, test = (bertune.read_split(splits[name]) for name in ("train", "validation", "test"))
assert all(part.report.rows_used == len(part) for part in (train, validation, test))
{name: len(part) for name, part in zip(splits, (train, validation, test), strict=True)}

# %% [markdown]
# The classes, in the order of their ids. The order comes from the words, never from the order of the rows, so it is
# the same for every split.

# %%
labels = task.labels or bertune.LabelSet.from_values(train.labels)
labels.names

# %% [markdown]
# The first example of the training data:

# %%
first = next(iter(train))
first

# %% [markdown]
# ## The tokenizer
#
# A pretrained encoder understands the ids of its own vocabulary only. This tokenizer gives those of Google's
# `FullTokenizer`, held to it on 20,000 hostile strings.

# %%
source = bertune.resolve_model(MODEL)
tokenizer = bertune.BertTokenizer(source / "vocab.txt", do_lower_case=True)
tokenizer.vocab_size

# %% [markdown]
# Words that are not in the vocabulary fall into pieces, of which all but the first begin with `##`.

# %%
tokens = tokenizer.tokenize("Hello PyTorch!")
ids = tokenizer.convert_tokens_to_ids(tokens)
assert tokenizer.convert_ids_to_tokens(ids) == tokens
list(zip(tokens, ids, strict=True))

# %% [markdown]
# ## The inputs
#
# ### Encode
#
# The encoder reads a pair as one sequence: `[CLS]`, which will stand for the whole, the first text, `[SEP]`, the second
# text, `[SEP]`. By hand, for the first example:

# %%
pair = ["[CLS]", *tokenizer.tokenize(first.text_a), "[SEP]", *tokenizer.tokenize(first.text_b), "[SEP]"]
by_hand = tokenizer.convert_tokens_to_ids(pair)
" ".join(pair)


# %% [markdown]
# `bert_encode` does this for all rows. The lesson's limit is the longest pair of its data; here pairs beyond
# `MAX_LENGTH` lose tokens from their longer text, so that no pair can exceed the encoder's 512 positions.


# %%
def encode(examples):
    texts = {"sentence1": examples.texts_a, "sentence2": examples.texts_b}
    return bertune.bert_encode(texts, tokenizer, max_length=MAX_LENGTH)


train_inputs, validation_inputs = encode(train), encode(validation)
train_labels, validation_labels = train.label_ids(labels), validation.label_ids(labels)
{name: array.shape for name, array in train_inputs.items()}

# %% [markdown]
# Three arrays of one shape, one row an example, as wide as the longest. The first row is what was made by hand, and it
# reads back as `[CLS] … [SEP] … [SEP]`.

# %%
row = train_inputs["input_word_ids"][0]
decoded = tokenizer.convert_ids_to_tokens(row[: len(by_hand)])
assert list(row[: len(by_hand)]) == by_hand
assert decoded[0] == "[CLS]"
assert decoded[-1] == "[SEP]"
assert decoded.count("[SEP]") == 2
assert set(row[len(by_hand) :]) <= {tokenizer.pad_id}

# %% [markdown]
# ### Mask and types
#
# `input_mask` is 1 on tokens and 0 on padding. `input_type_ids` is 0 on `[CLS]`, the first text and its `[SEP]`, and 1
# on the second text and its `[SEP]`.

# %%
mask, types = train_inputs["input_mask"], train_inputs["input_type_ids"]
assert mask[0].sum() == len(by_hand)
assert types[0].sum() == len(by_hand) - pair.index("[SEP]") - 1
assert not types[mask == 0].any()

# %% [markdown]
# The whole of it in one picture, example by example from the top. All that is grey is padding.

# %%
bertune.plot_inputs(train_inputs, max_examples=100)

# %% [markdown]
# Much of it is grey. bertune takes these arrays, but computes on the tokens alone, one sequence after another: see
# [the encoder](../docs/concepts/encoder.md).

# %% [markdown]
# ## The model
#
# ### Build
#
# The configuration holds the sizes of the encoder.

# %%
config = bertune.BertConfig.from_json_file(source / "config.json")
config.to_dict()

# %% [markdown]
# One call builds the classifier and the encoder inside of it, both with new weights; `seed` makes them the same each
# time.

# %%
classifier, encoder = bertune.classifier_model(config, num_labels=len(labels), seed=1)
assert classifier.encoder is encoder

# %% [markdown]
# From three inputs to one logit a label:

# %%
bertune.plot_model(classifier)

# %% [markdown]
# Ten examples give ten rows of logits, one column a class. They mean nothing yet.

# %%
ten = {name: array[:10] for name, array in train_inputs.items()}
logits = classifier(ten)
assert logits.shape == (10, len(labels))

# %% [markdown]
# ### Restore the encoder
#
# `restore` fills the encoder from a checkpoint: TensorFlow's, a SavedModel's or a safetensors file, told apart by what
# is there. `assert_consumed` fails if a tensor of the file or a parameter of the encoder is left over without a known
# reason.

# %%
receipt = bertune.restore(encoder, source).assert_consumed()
assert not receipt.having("new")
receipt.summary()

# %% [markdown]
# The receipt names every tensor, with its shape, and from what it was made. The projections of queries, keys and values
# are one parameter here and three tensors in the file:

# %%
for record in list(receipt)[3:8]:
    print(f"{record.name:30s} {record.shape!s:12s} {', '.join(record.sources)}")

# %% [markdown]
# What the restored encoder makes of the ten examples is kept, to be compared with in the appendix.

# %%
encoder.eval()
with torch.inference_mode():
    restored = encoder(ten)
assert restored.pooled.shape == (10, config.hidden_size)

# %% [markdown]
# ### The optimizer
#
# Adam with decoupled weight decay, under a rate that rises from 0 over the first tenth of the steps and then falls to
# 0. The last batch of an epoch is smaller and counts too: rounding down here, as the lesson does, would leave the last
# steps of the run with a rate of 0.

# %%
steps_per_epoch = -(-len(train) // BATCH_SIZE)
num_train_steps = EPOCHS * steps_per_epoch
num_warmup_steps = num_train_steps // 10
optimizer = bertune.create_optimizer(LEARNING_RATE, num_train_steps, num_warmup_steps, model=classifier)
assert isinstance(optimizer, bertune.AdamWeightDecay)
assert optimizer.learning_rate_at(0) == 0
assert optimizer.learning_rate_at(num_train_steps - 1) > 0

# %%
bertune.plot_schedule({"create_optimizer": optimizer.learning_rate_at}, num_train_steps)

# %% [markdown]
# The rise never reaches its peak: the fall takes over, and has been counting since step 0. That is the original's way.


# %% [markdown]
# ### Train
#
# A callback is told of every step and epoch; this one prints the epochs, in the place of the usual progress.


# %%
class EpochPrinter(bertune.Callback):
    def on_start(self, total_steps, steps_per_epoch, precision):
        print(f"{total_steps} steps, {steps_per_epoch} an epoch, computed in {precision}")

    def on_epoch(self, result):
        accuracy = result.scores.value("accuracy")
        print(f"epoch {result.epoch}: training loss {result.train_loss:.4f}, validation accuracy {accuracy:.1%}")


# %% [markdown]
# The loss is the cross entropy, the metric the accuracy. `fit` keeps the weights of the best epoch.

# %%
history = bertune.fit(
    classifier,
    (train_inputs, train_labels),
    (validation_inputs, validation_labels),
    config=bertune.TrainingConfig(epochs=EPOCHS, batch_size=BATCH_SIZE, seed=1),
    optimizer=optimizer,
    label_names=labels.names,
    callbacks=[EpochPrinter()],
    verbose=False,
)
assert len(history.steps) == num_train_steps

# %% [markdown]
# A number of a few hundred rows is uncertain; so it comes with its interval and the baseline it has to beat.

# %%
print(history.best.scores.verdict)

# %% [markdown]
# ## Examples of your own
#
# Encode them as the training data were encoded, and take the most probable class of each row.

# %%
my_pairs = [
    ("How do I get my money back?", "Can I have a refund?"),
    ("The bridge was closed on Monday because of the storm.", "A storm shut the bridge on Monday."),
    ("I would like a seat at the window.", "Where can I leave my suitcase?"),
]
my_inputs = bertune.bert_encode(
    {"sentence1": [a for a, _ in my_pairs], "sentence2": [b for _, b in my_pairs]}, tokenizer, max_length=MAX_LENGTH
)
my_logits = bertune.predict_logits(classifier, my_inputs)
[labels.names[index] for index in my_logits.argmax(axis=1)]

# %% [markdown]
# `axis=1` matters. The lesson calls `tf.argmax(result)`, which runs along axis 0 and so asks which *example* has the
# largest logit for each class. With two examples and two classes both answers have two numbers, and nothing looks
# wrong. With three examples it shows:

# %%
assert my_logits.argmax(axis=1).shape == (3,)  # a class for each example
assert my_logits.argmax(axis=0).shape == (2,)  # an example for each class

# %% [markdown]
# ## Save and reload
#
# A model folder holds all that its use needs: weights, tokenizer, and a signature with the labels in their order, the
# number of texts and the length. transformers loads it too.

# %%
signature = bertune.ModelSignature(labels=labels.names, is_pair=True, max_length=MAX_LENGTH)
bertune.save(classifier, OUT / "model", tokenizer=tokenizer, signature=signature)
sorted(path.name for path in (OUT / "model").iterdir())

# %% [markdown]
# The reloaded model takes texts as they are. Its logits are those from before, bit for bit.

# %%
model = bertune.load(OUT / "model")
predictions = bertune.predict(model, my_pairs)
assert np.array_equal(predictions.logits, my_logits)
for (text_a, text_b), prediction in zip(my_pairs, predictions, strict=True):
    print(f"{prediction.label:15s} {prediction.probability:.2f}  {text_a} | {text_b}")

# %% [markdown]
# The score that counts is that of the test data, by which nothing was chosen in training. (Of the questions it is
# kinder than on untouched data: [why](data/README.md).)

# %%
scores, _ = bertune.evaluate(model, test)
print(scores.verdict)

# %% [markdown]
# ### Export
#
# To TensorFlow, without TensorFlow: a checkpoint that tf-models-official restores with `assert_consumed()`. Before it
# is kept, a fresh process reads it and has to answer a thousand rows as the model does.

# %%
agreement = bertune.export(model, OUT / "checkpoint", format="tf_checkpoint")
agreement.summary()

# %% [markdown]
# It is a checkpoint like any other, so `restore` reads it back. The head of the classifier is in it too, which an
# encoder has no use for: the receipt says so.

# %%
again = bertune.Encoder.from_config(config)
receipt = bertune.restore(again, OUT / "checkpoint" / "bert_model.ckpt").assert_consumed()
pairs_of_weights = zip(again.parameters(), model.classifier.encoder.parameters(), strict=True)
assert all(torch.equal(one, other) for one, other in pairs_of_weights)
receipt.summary()

# %% [markdown]
# A SavedModel, the lesson's own format, is written by TensorFlow, where that is installed.

# %%
if importlib.util.find_spec("tensorflow"):
    print(bertune.export(model, OUT / "saved_model", format="saved_model").summary())
else:
    print('no SavedModel without TensorFlow: pip install "bertune[tensorflow]"')

# %% [markdown]
# # Appendix
#
# ## Re-encoding a large data set
#
# Data that do not fit into memory are encoded once, streaming, into shards that training reads at once. These records
# hold the features of the lesson's tool. [More](../docs/guides/re-encoding.md).

# %%
manifest = bertune.reencode(
    splits["train"], tokenizer, OUT / "records", format="tfrecord", max_length=MAX_LENGTH, shards=2
)
assert manifest.rows == len(train)
[(shard.name, shard.rows) for shard in manifest.shards]

# %% [markdown]
# Run again, it finds the shards finished and whole, and keeps them.

# %%
manifest = bertune.reencode(
    splits["train"], tokenizer, OUT / "records", format="tfrecord", max_length=MAX_LENGTH, shards=2
)
assert list(manifest.kept) == [shard.name for shard in manifest.shards]

# %% [markdown]
# Read back, the records hold the very ids and labels that were encoded in memory. `fit` takes
# `(records.encoded, records.targets)`.

# %%
records = bertune.read_records(OUT / "records")
assert np.array_equal(records.encoded.token_ids, train_inputs["input_word_ids"][mask == 1])
assert np.array_equal(records.targets, train_labels)
len(records)


# %% [markdown]
# ## An input pipeline of your own
#
# Any loop that yields batches will do. This one draws a new order each epoch from a seed, and `pack` lays the tokens of
# its examples one after another, with the labels beside them.


# %%
def batches(records, batch_size, seed):
    order = np.random.default_rng(seed).permutation(len(records))
    for start in range(0, len(order), batch_size):
        yield bertune.pack(records.encoded, order[start : start + batch_size], records.targets)


batch = next(batches(records, BATCH_SIZE, seed=1))
assert len(batch) == len(batch.targets) == BATCH_SIZE
assert (batch.token_ids == tokenizer.cls_id).sum() == BATCH_SIZE  # a [CLS] for each example, and no padding

# %% [markdown]
# Packed, nothing is left of the padding; grey is only where an example is shorter than the longest.

# %%
bertune.plot_inputs(batch)

# %% [markdown]
# ## An encoder from TensorFlow Hub
#
# `hub_module` takes the folder of a SavedModel, as the lesson's `hub_module_url` does. In a checkout of bertune there
# is a tiny one, which the Model Garden's exporter made for the tests (2 layers, 32 wide, random weights); elsewhere the
# checkpoint from above takes its place. Put the folder of a real one here, with its `bert_config.json` in it.

# %%
hub_folder = OUT / "checkpoint"
golden = bertune.demo_folder().parents[1] / "tests" / "golden" / "tf_checkpoints" / "hub.zip"
if golden.is_file():
    hub_folder = OUT / "hub"
    shutil.unpack_archive(golden, hub_folder)
hub_config = bertune.BertConfig.from_json_file(hub_folder / "bert_config.json")
hub_classifier, hub_encoder = bertune.classifier_model(hub_config, num_labels=len(labels), hub_module=hub_folder)

# %% [markdown]
# It runs on texts encoded with its own vocabulary, and gives what the lesson shows: one vector for each sequence, and
# one for each token.

# %%
hub_tokenizer = bertune.BertTokenizer(next(hub_folder.rglob("vocab.txt")))
hub_inputs = bertune.bert_encode(
    {"sentence1": train.texts_a[:10], "sentence2": train.texts_b[:10]},
    hub_tokenizer,
    max_length=hub_config.max_position_embeddings,
)
hub_encoder.eval()
with torch.inference_mode():
    result = hub_encoder(hub_inputs)
assert result.pooled.shape == (10, hub_config.hidden_size)
assert result.last_hidden_state.shape == (*hub_inputs["input_word_ids"].shape, hub_config.hidden_size)

# %% [markdown]
# In TensorFlow such an encoder is one opaque layer, which cannot be drawn. Here its layers are open, to be looked at,
# frozen or changed:

# %%
for parameter in hub_encoder.embeddings.parameters():
    parameter.requires_grad_(False)
bertune.plot_model(hub_classifier)

# %% [markdown]
# ## Low-level building
#
# `classifier_model` is a short cut. An encoder takes the fields of the configuration by name, so any of them can be
# changed first. Change the architecture, and the checkpoint will not fit it any more, which `restore` says.

# %%
manual_encoder = bertune.Encoder(**config.to_dict())
receipt = bertune.restore(manual_encoder, source).assert_consumed()
assert len(receipt.having("loaded")) == len(list(manual_encoder.parameters()))

# %% [markdown]
# It computes what the encoder above computed before it was trained.

# %%
manual_encoder.eval()
with torch.inference_mode():
    result = manual_encoder(ten)
assert result.last_hidden_state.shape == (*ten["input_word_ids"].shape, config.hidden_size)
assert torch.equal(result.pooled, restored.pooled)

# %% [markdown]
# A classifier is pooling, dropout and one dense layer on top of it.

# %%
torch.manual_seed(1)
manual_classifier = bertune.Classifier(manual_encoder, num_labels=len(labels), dropout=config.hidden_dropout_prob)
assert manual_classifier(ten).shape == (10, len(labels))

# %% [markdown]
# ## Schedules and the optimizer by hand
#
# What `create_optimizer` puts together. A schedule is any function from a step, counted from 0, to a rate. Here are
# the straight fall to 0, the same with a rise in front of it, and a longer rise that aims at where the fall will be by
# then. Aimed at the peak, as in the lesson, it would overshoot.

# %%
decay = bertune.PolynomialDecay(LEARNING_RATE, decay_steps=num_train_steps, end_learning_rate=0)
schedule = bertune.WarmUp(LEARNING_RATE, decay_schedule_fn=decay, warmup_steps=num_warmup_steps)
third = num_train_steps // 3
longer = bertune.WarmUp(decay(third), decay_schedule_fn=decay, warmup_steps=third)
assert all(schedule(step) == optimizer.learning_rate_at(step) for step in range(num_train_steps))
bertune.plot_schedule({"decay": decay, "with warm-up": schedule, "longer, no overshoot": longer}, num_train_steps)

# %% [markdown]
# `decay_groups` keeps weight decay away from norms and biases, as the lesson's `exclude_from_weight_decay` does.

# %%
groups = bertune.decay_groups(manual_classifier, weight_decay_rate=0.01)
manual_optimizer = bertune.AdamWeightDecay(groups, learning_rate=schedule, epsilon=1e-6)
{group["weight_decay_rate"]: len(group["params"]) for group in groups}

# %% [markdown]
# And with that, the training loop itself: a few steps on the pipeline from above.

# %%
before = manual_classifier.classifier.weight.detach().clone()
manual_classifier.train()
for step, batch in zip(range(3), batches(records, BATCH_SIZE, seed=1), strict=False):
    loss = torch.nn.functional.cross_entropy(manual_classifier(batch), batch.targets)
    manual_optimizer.zero_grad()
    loss.backward()
    manual_optimizer.step()
    moved = not torch.equal(before, manual_classifier.classifier.weight)
    assert moved == (step > 0)  # the first step of a warm-up has the rate 0
    print(f"step {step}: loss {loss.item():.4f}, rate {schedule(step):.1e}")
