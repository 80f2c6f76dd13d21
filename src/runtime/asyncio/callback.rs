//! The meaning of a callback of a future, or of a handle in the ready queue: the wakeup of a task, a closure of one of
//! asyncio's own helpers, a method, a partial.

use std::rc::Rc;
use std::sync::Arc;

use crate::python::code::CodeInfo;
use crate::python::reader::{Reader, optional};
use crate::remote::{Addr, ReadError, Span};

/// With more callbacks than this, their memory is read together: one after the other would cost a round of a wave for each
/// page, and a wave begins each round with the first callback.
const FEW: usize = 8;

/// Bytes of a callback that are read ahead: a bound or builtin method.
const CALLBACK_BYTES: usize = 48;

/// A callback, as far as it can be inspected.
#[derive(Clone, Debug)]
pub enum Callback {
    /// Wakes or steps this task.
    Wakes(Addr),
    /// A Python function.
    Function(Function),
    /// A bound method.
    Method {
        /// The object it is bound to.
        object: Addr,
        /// The function.
        function: Function,
    },
    /// `functools.partial`.
    Partial {
        /// Positional arguments.
        args: Vec<Addr>,
    },
    /// Anything else.
    Other,
}

/// A Python function.
#[derive(Clone, Debug)]
pub struct Function {
    /// Its address.
    pub addr: Addr,
    /// Its code object.
    pub code: Addr,
    /// The data of its code object.
    pub info: Rc<CodeInfo>,
}

impl Function {
    /// Last part of its name: `_done_callback` of `gather.<locals>._done_callback`.
    pub fn short_name(&self) -> &str {
        self.info.function.rsplit('.').next().unwrap_or_default()
    }
}

/// The meaning of the object at `addr`.
pub fn read_callback(reader: &mut Reader<'_, '_>, addr: Addr) -> Result<Callback, ReadError> {
    let builtin = &reader.layout.builtin;
    let ty = reader.type_of(addr)?;
    match ty.name.rsplit('.').next().unwrap_or_default() {
        // C tasks: the step is an object of its own, the wakeup too up to 3.9 and a builtin method from 3.10 on.
        // CPython: Modules/_asynciomodule.c.
        "TaskStepMethWrapper" | "TaskWakeupMethWrapper" => {
            Ok(Callback::Wakes(reader.view.object(addr, builtin.wrapped)?))
        }
        "builtin_function_or_method" => {
            let definition = reader.view.object(addr, builtin.cfunction_def)?;
            match &*reader.caches.method_name(reader.view, definition)? {
                "task_wakeup" => Ok(Callback::Wakes(reader.view.object(addr, builtin.cfunction_self)?)),
                _ => Ok(Callback::Other),
            }
        }
        "method" => {
            let object = reader.view.object(addr, builtin.method_self)?;
            let function = reader.view.object(addr, builtin.method_function)?;
            let Some(function) = read_function(reader, function)? else { return Ok(Callback::Other) };
            let is_task = matches!(function.short_name(), "__wakeup" | "__step" | "__eager_start")
                && function.info.file.ends_with("asyncio/tasks.py");
            Ok(if is_task { Callback::Wakes(object) } else { Callback::Method { object, function } })
        }
        "function" => Ok(read_function(reader, addr)?.map_or(Callback::Other, Callback::Function)),
        "partial" => {
            let args = reader.view.object(addr, builtin.partial_function + 8)?;
            Ok(Callback::Partial { args: reader.tuple(args)? })
        }
        _ => Ok(Callback::Other),
    }
}

/// The meaning of all callbacks of a future, in order; those that could not be read are skipped.
pub fn read_callbacks(reader: &mut Reader<'_, '_>, callbacks: &[Addr]) -> Result<Vec<Callback>, ReadError> {
    if callbacks.len() > FEW {
        reader.view.prefetch(callbacks.iter().map(|addr| Span::new(*addr, CALLBACK_BYTES)));
    }
    let mut known = Vec::with_capacity(callbacks.len());
    for addr in callbacks {
        known.push(optional(read_callback(reader, *addr))?.unwrap_or(Callback::Other));
    }
    Ok(known)
}

fn read_function(reader: &mut Reader<'_, '_>, addr: Addr) -> Result<Option<Function>, ReadError> {
    if reader.type_of(addr)?.name != "function" {
        return Ok(None);
    }
    let code = reader.view.object(addr, reader.layout.builtin.function_code)?;
    Ok(Some(Function { addr, code, info: reader.code(code)? }))
}

/// A variable that a closure captured.
#[derive(Clone, Copy, Debug)]
pub struct Captured {
    /// The cell: shared by all functions that captured the same variable.
    pub cell: Addr,
    /// Its content.
    pub value: Option<Addr>,
}

/// The captured variable `name` of a function; `None` if it captured no such variable.
pub fn read_captured(
    reader: &mut Reader<'_, '_>,
    function: &Function,
    name: &str,
) -> Result<Option<Captured>, ReadError> {
    let names = reader.caches.codes.free_variables(reader.view, reader.layout, function.code)?;
    let Some(index) = names.iter().position(|known| &**known == name) else { return Ok(None) };
    let Some(closure) = reader.view.pointer(function.addr, reader.layout.builtin.function_closure)? else {
        return Ok(None);
    };
    let Some(&cell) = reader.tuple(closure)?.get(index) else { return Ok(None) };
    Ok(Some(Captured { cell, value: reader.view.pointer(cell, reader.layout.builtin.cell_content)? }))
}

/// The positional defaults of a function.
pub fn read_defaults(reader: &mut Reader<'_, '_>, function: &Function) -> Result<Vec<Addr>, ReadError> {
    match reader.field(function.addr, reader.layout.builtin.function_defaults)? {
        Some(defaults) => reader.tuple(defaults),
        None => Ok(Vec::new()),
    }
}

/// Name of a function; also of a partial's first argument, as `asyncio.to_thread` makes them, if it is one.
pub fn function_name(reader: &mut Reader<'_, '_>, object: Addr) -> Result<Option<Arc<str>>, ReadError> {
    Ok(match read_callback(reader, object)? {
        Callback::Function(function) | Callback::Method { function, .. } => Some(function.info.function.clone()),
        // CPython: Lib/asyncio/threads.py: partial(context.run, function, ...).
        Callback::Partial { args } => match args.first() {
            Some(first) => match optional(read_callback(reader, *first))? {
                Some(Callback::Function(function) | Callback::Method { function, .. }) => {
                    Some(function.info.function.clone())
                }
                _ => None,
            },
            None => None,
        },
        _ => None,
    })
}
