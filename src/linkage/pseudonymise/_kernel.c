/* The tokenising kernel as a Python module, over the limited API: Python objects in and out, checked, and nothing else.

   Each of the processor's paths is held against published answers when the module is loaded, and it does not load where
   one is wrong. Key states live in a capsule that is wiped when it goes. The interpreter lock is released while a column
   is worked on. A column is (layout, validity or None, index, (data, ...), offset, rows), from an Arrow array's buffers. */

#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030B0000
#include <Python.h>
#include <stdlib.h>

#include "_kernel_tokens.h"

#define KEYS "linkage.kernel.keys"

static const uint8_t NO_BYTES[1];
static Path paths[3];
static int path_count;

/* ---- what comes in ---- */

typedef struct {
    Column column;
    Py_buffer validity, index, *data;
    Bytes *bytes;
} Held;

static void let_go(Held *held) {
    if (held->validity.obj) PyBuffer_Release(&held->validity);
    if (held->index.obj) PyBuffer_Release(&held->index);
    for (int64_t i = 0; held->data && i < held->column.data_count; i++) {
        if (held->data[i].obj) PyBuffer_Release(&held->data[i]);
    }
    free(held->data);
    free(held->bytes);
}

static int hold_data(PyObject *data, Held *held) {
    Py_ssize_t count = PyTuple_Size(data);
    if (count < 0) return 0;
    held->data = calloc((size_t)count + 1, sizeof *held->data);
    held->bytes = calloc((size_t)count + 1, sizeof *held->bytes);
    if (!held->data || !held->bytes) {
        PyErr_NoMemory();
        return 0;
    }
    held->column.data = held->bytes;
    for (Py_ssize_t i = 0; i < count; i++) {
        if (PyObject_GetBuffer(PyTuple_GetItem(data, i), &held->data[i], PyBUF_SIMPLE) < 0) return 0;
        held->column.data_count = i + 1;
        held->bytes[i] = (Bytes){held->data[i].buf, held->data[i].len};
    }
    return 1;
}

/* Holds a column's buffers; false, with an error set and everything let go, where it is not one. */
static int hold(PyObject *given, Held *held) {
    PyObject *validity, *data;
    long long offset, rows;
    memset(held, 0, sizeof *held);
    if (!PyTuple_Check(given)) {
        PyErr_SetString(PyExc_TypeError, "a column is a tuple of its layout and buffers");
        return 0;
    }
    if (!PyArg_ParseTuple(given, "iOy*O!LL", &held->column.layout, &validity, &held->index, &PyTuple_Type, &data, &offset,
                          &rows)) {
        return 0;
    }
    held->column.offset = offset;
    held->column.rows = rows;
    held->column.index = (Bytes){held->index.buf, held->index.len};
    if (validity != Py_None) {
        if (PyObject_GetBuffer(validity, &held->validity, PyBUF_SIMPLE) < 0) goto bad;
        /* Even a bitmap without bytes is one: without it, no row would be null. */
        held->column.validity = (Bytes){held->validity.buf ? held->validity.buf : NO_BYTES, held->validity.len};
    }
    if (!hold_data(data, held)) goto bad;
    if (held->column.layout < OFFSETS_32 || held->column.layout > INT_64 || !covered(&held->column)) {
        PyErr_SetString(PyExc_ValueError, "the column's buffers are shorter than its rows");
        goto bad;
    }
    return 1;
bad:
    let_go(held);
    return 0;
}

static int holds_texts(const Held *held) {
    if (held->column.layout != INT_64) return 1;
    PyErr_SetString(PyExc_TypeError, "a column of integers holds no tokens or texts");
    return 0;
}

static int has_room(const Py_buffer *out, int64_t rows, int64_t width) {
    if (out->len / width >= rows) return 1;
    PyErr_SetString(PyExc_ValueError, "the output is shorter than the column");
    return 0;
}

static const Keys *keys_of(PyObject *capsule) { return PyCapsule_GetPointer(capsule, KEYS); }

static Compress path_of(int path) {
    if (path >= 0 && path < path_count) return paths[path].compress;
    PyErr_SetString(PyExc_ValueError, "there is no such path on this processor");
    return NULL;
}

static PyObject *done(int good) {
    if (good) Py_RETURN_NONE;
    PyErr_SetString(PyExc_ValueError, "the column's buffers contradict each other");
    return NULL;
}

/* ---- the functions ---- */

static void forget(PyObject *capsule) {
    Keys *keys = PyCapsule_GetPointer(capsule, KEYS);
    if (!keys) return;
    wipe(keys, sizeof *keys);
    free(keys);
}

static PyObject *make_keys(PyObject *module, PyObject *args) {
    const char *mac, *enc, *record;
    Py_ssize_t mac_size, enc_size, record_size;
    Keys *keys;
    PyObject *capsule;
    if (!PyArg_ParseTuple(args, "y#y#y#", &mac, &mac_size, &enc, &enc_size, &record, &record_size)) return NULL;
    if (mac_size != 32 || enc_size != 32 || record_size != 32) {
        PyErr_SetString(PyExc_ValueError, "a subkey is 32 bytes");
        return NULL;
    }
    keys = malloc(sizeof *keys);
    if (!keys) return PyErr_NoMemory();
    take_in((const uint8_t *)mac, &keys->mac);
    take_in((const uint8_t *)enc, &keys->enc);
    take_in((const uint8_t *)record, &keys->record);
    capsule = PyCapsule_New(keys, KEYS, forget);
    if (!capsule) {
        wipe(keys, sizeof *keys);
        free(keys);
    }
    return capsule;
}

static PyObject *py_tokenise(PyObject *module, PyObject *args) {
    PyObject *capsule, *given, *result = NULL;
    Py_buffer tokens, reasons;
    int flags, path;
    Held held;
    if (!PyArg_ParseTuple(args, "OOiw*w*i", &capsule, &given, &flags, &tokens, &reasons, &path)) return NULL;
    if (hold(given, &held)) {
        const Keys *keys = keys_of(capsule);
        Compress compress = path_of(path);
        if (keys && compress && has_room(&tokens, held.column.rows, 16) && has_room(&reasons, held.column.rows, 1)) {
            int good;
            Py_BEGIN_ALLOW_THREADS
            good = tokenise(keys, compress, &held.column, flags, tokens.buf, reasons.buf);
            Py_END_ALLOW_THREADS
            result = done(good);
        }
        let_go(&held);
    }
    PyBuffer_Release(&tokens);
    PyBuffer_Release(&reasons);
    return result;
}

static PyObject *py_reverse(PyObject *module, PyObject *args) {
    PyObject *capsule, *given, *result = NULL;
    Py_buffer numbers;
    int path;
    Held held;
    if (!PyArg_ParseTuple(args, "OOw*i", &capsule, &given, &numbers, &path)) return NULL;
    if (hold(given, &held)) {
        const Keys *keys = keys_of(capsule);
        Compress compress = path_of(path);
        if (keys && compress && holds_texts(&held) && has_room(&numbers, held.column.rows, 8)) {
            int good;
            Py_BEGIN_ALLOW_THREADS
            good = reverse(keys, NULL, compress, &held.column, numbers.buf, NULL, NULL);
            Py_END_ALLOW_THREADS
            result = done(good);
        }
        let_go(&held);
    }
    PyBuffer_Release(&numbers);
    return result;
}

static PyObject *py_translate(PyObject *module, PyObject *args) {
    PyObject *capsule, *other, *given, *result = NULL;
    Py_buffer tokens, reasons;
    int path;
    Held held;
    if (!PyArg_ParseTuple(args, "OOOw*w*i", &capsule, &other, &given, &tokens, &reasons, &path)) return NULL;
    if (hold(given, &held)) {
        const Keys *keys = keys_of(capsule), *target = keys ? keys_of(other) : NULL;
        Compress compress = path_of(path);
        if (target && compress && holds_texts(&held) && has_room(&tokens, held.column.rows, 16) &&
            has_room(&reasons, held.column.rows, 1)) {
            int good;
            Py_BEGIN_ALLOW_THREADS
            good = reverse(keys, target, compress, &held.column, NULL, tokens.buf, reasons.buf);
            Py_END_ALLOW_THREADS
            result = done(good);
        }
        let_go(&held);
    }
    PyBuffer_Release(&tokens);
    PyBuffer_Release(&reasons);
    return result;
}

static PyObject *py_record(PyObject *module, PyObject *args) {
    PyObject *capsule, *given, *result = NULL;
    Py_buffer prefix, tokens, reasons;
    int formed, path;
    Held held;
    if (!PyArg_ParseTuple(args, "Oy*Opw*w*i", &capsule, &prefix, &given, &formed, &tokens, &reasons, &path)) return NULL;
    if (hold(given, &held)) {
        const Keys *keys = keys_of(capsule);
        Compress compress = path_of(path);
        if (keys && compress && holds_texts(&held) && has_room(&tokens, held.column.rows, 16) &&
            has_room(&reasons, held.column.rows, 1)) {
            Bytes start = {prefix.buf, prefix.len};
            int good;
            Py_BEGIN_ALLOW_THREADS
            good = record(keys, compress, start, &held.column, formed, tokens.buf, reasons.buf);
            Py_END_ALLOW_THREADS
            result = done(good);
        }
        let_go(&held);
    }
    PyBuffer_Release(&prefix);
    PyBuffer_Release(&tokens);
    PyBuffer_Release(&reasons);
    return result;
}

/* Compressions and nothing else: what the processor can do at best, for the benchmark. */
static PyObject *py_compressions(PyObject *module, PyObject *args) {
    Block blocks[ROWS];
    State states[ROWS];
    Py_ssize_t count;
    Compress compress;
    int path;
    if (!PyArg_ParseTuple(args, "ni", &count, &path) || !(compress = path_of(path))) return NULL;
    memset(blocks, 0, sizeof blocks);
    memset(states, 0, sizeof states);
    Py_BEGIN_ALLOW_THREADS
    for (Py_ssize_t at = 0; at < count; at += ROWS) {
        compress(&INITIAL, blocks, states, ROWS);
        blocks[at / ROWS % ROWS].w[0] ^= states[0].h[0];
    }
    Py_END_ALLOW_THREADS
    return PyLong_FromUnsignedLong(states[0].h[0]);
}

static PyObject *py_paths(PyObject *module, PyObject *args) {
    PyObject *names = PyTuple_New(path_count);
    for (int i = 0; names && i < path_count; i++) {
        PyObject *name = PyUnicode_FromString(paths[i].name);
        if (!name || PyTuple_SetItem(names, i, name) < 0) {
            Py_DECREF(names);
            return NULL;
        }
    }
    return names;
}

#include "_kernel_selftest.h"

static int start(PyObject *module) {
    path_count = available(paths);
    for (int path = 0; path < path_count; path++) {
        if (passes(paths[path].compress)) continue;
        PyErr_Format(PyExc_RuntimeError, "the tokenising kernel gives wrong answers (%s)", paths[path].name);
        return -1;
    }
    return 0;
}

static PyMethodDef functions[] = {
    {"keys", make_keys, METH_VARARGS, "keys(person_mac, person_enc, record_mac) -> handle"},
    {"tokenise", py_tokenise, METH_VARARGS, "tokenise(keys, column, flags, tokens, reasons, path)"},
    {"reverse", py_reverse, METH_VARARGS, "reverse(keys, column, numbers, path)"},
    {"translate", py_translate, METH_VARARGS, "translate(keys, target, column, tokens, reasons, path)"},
    {"record", py_record, METH_VARARGS, "record(keys, prefix, column, formed, tokens, reasons, path)"},
    {"compressions", py_compressions, METH_VARARGS, "compressions(count, path)"},
    {"paths", py_paths, METH_NOARGS, "paths() -> names, fastest first"},
    {NULL, NULL, 0, NULL},
};

static PyModuleDef_Slot slots[] = {{Py_mod_exec, start}, {0, NULL}};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "_kernel", "The token format over Arrow buffers; see linkage.pseudonymise.kernel.", 0,
    functions, slots, NULL, NULL, NULL,
};

PyMODINIT_FUNC PyInit__kernel(void) { return PyModuleDef_Init(&definition); }
